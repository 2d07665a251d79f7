// SPDX-License-Identifier: Apache-2.0

// Command actor plays a container: it lives, becomes ready, fails, fills memory or disk and ends just as its flags say.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

const mebibyte = 1 << 20

var (
	runFor     = flag.Duration("for", 0, "end after this time; 0 is never")
	exitCode   = flag.Int("exit", 0, "exit code of that end")
	once       = flag.String("once", "", "a file: while it is missing make it and end as said; else stay, or end as -then says")
	then       = flag.Duration("then", 0, "end with 0 after this time where the file of -once is there; 0 is never")
	onTerm     = flag.Int("on-term", 0, "exit code after SIGTERM; -1 ignores the signal")
	termDelay  = flag.Duration("term-delay", 0, "time between SIGTERM and the end")
	listen     = flag.String("listen", "", "address to serve /ready and /live on")
	readyAfter = flag.Duration("ready-after", 0, "/ready fails until then")
	readyFor   = flag.Duration("ready-for", 0, "/ready succeeds and fails in turn for this long; 0 is no change")
	liveFor    = flag.Duration("live-for", 0, "/live fails after this time; 0 is never")
	after      = flag.Duration("after", 0, "wait this long before filling memory or disk")
	memory     = flag.Int("memory", 0, "MiB of memory to fill")
	disk       = flag.Int("disk", 0, "MiB of disk to fill")
	path       = flag.String("path", "filling", "the file that fills the disk")
)

func main() {
	flag.Parse()
	begin := time.Now()
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	if *listen != "" {
		go serve(begin)
	}
	go fill()
	select {
	case <-end():
		fmt.Printf("ending with %d\n", *exitCode)
		os.Exit(*exitCode)
	case <-terms:
		if *onTerm < 0 {
			select {}
		}
		time.Sleep(*termDelay)
		os.Exit(*onTerm)
	}
}

// end tells when this container ends by itself; never when it did so once and should not again.
func end() <-chan time.Time {
	if *once != "" {
		file, err := os.OpenFile(*once, os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			*exitCode = 0
			return afterOrNever(*then)
		}
		file.Close()
		return time.After(*runFor)
	}
	if *exitCode == 0 {
		return afterOrNever(*runFor)
	}
	return time.After(*runFor)
}

func afterOrNever(wait time.Duration) <-chan time.Time {
	if wait == 0 {
		return nil
	}
	return time.After(wait)
}

func serve(begin time.Time) {
	answer := func(writer http.ResponseWriter, good bool) {
		if !good {
			writer.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	http.HandleFunc("/ready", func(writer http.ResponseWriter, _ *http.Request) {
		since := time.Since(begin) - *readyAfter
		answer(writer, since >= 0 && (*readyFor == 0 || (since / *readyFor)%2 == 0))
	})
	http.HandleFunc("/live", func(writer http.ResponseWriter, _ *http.Request) {
		answer(writer, *liveFor == 0 || time.Since(begin) < *liveFor)
	})
	if err := http.ListenAndServe(*listen, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(70)
	}
}

func fill() {
	time.Sleep(*after)
	var held [][]byte
	for range *memory {
		block := make([]byte, mebibyte)
		for place := 0; place < len(block); place += 4096 {
			block[place] = 1
		}
		held = append(held, block)
	}
	if *disk > 0 {
		file, err := os.Create(*path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(73)
		}
		block := make([]byte, mebibyte)
		for range *disk {
			if _, err := file.Write(block); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(74)
			}
		}
	}
	time.Sleep(1 << 62)
	runtime.KeepAlive(held)
}
