// SPDX-License-Identifier: Apache-2.0

// A receiver of PodTracker's webhooks for its tests, made with CloudEvents' own Go SDK and this language's own HMAC: what
// it accepts does not depend on the code that sends. It listens on loopback, and writes one line of JSON for its port and
// one for each request. The key and the bearer token that it wants come from the environment.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// tolerance is how old a signature may be: whoever recorded a request can send it again no later.
const tolerance = 5 * time.Minute

// received is what is told of a request.
type received struct {
	Event      *event.Event `json:"event,omitempty"`
	Structured bool         `json:"structured"`
	Signature  string       `json:"signature"`
	Authorized bool         `json:"authorized"`
	Problem    string       `json:"problem,omitempty"`
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	lines := json.NewEncoder(os.Stdout)
	tell(lines, map[string]int{"port": listener.Addr().(*net.TCPAddr).Port})
	key, token := os.Getenv("RECEIVER_HMAC_KEY"), os.Getenv("RECEIVER_TOKEN")
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		got, status := receive(request, key, token, time.Now())
		tell(lines, got)
		writer.WriteHeader(status)
	})
	log.Fatal(http.Serve(listener, handler))
}

func tell(lines *json.Encoder, what any) {
	if err := lines.Encode(what); err != nil {
		log.Fatal(err)
	}
}

func receive(request *http.Request, key, token string, now time.Time) (received, int) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return received{Problem: err.Error()}, http.StatusBadRequest
	}
	got := received{
		Signature:  check(request.Header.Get("Pod-Tracker-Signature"), body, key, now),
		Authorized: request.Header.Get("Authorization") == "Bearer "+token,
	}
	if got.Signature != "valid" || !got.Authorized {
		return got, http.StatusUnauthorized
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	message := cehttp.NewMessageFromHttpRequest(request)
	got.Structured = message.ReadEncoding() == binding.EncodingStructured
	read, err := binding.ToEvent(request.Context(), message)
	if err == nil {
		err = read.Validate()
	}
	if err != nil {
		got.Problem = err.Error()
		return got, http.StatusBadRequest
	}
	got.Event = read
	return got, http.StatusNoContent
}

// check verifies "t=SECONDS,v1=HEX", where HEX is the HMAC-SHA256 of SECONDS, a full stop and the body.
func check(header string, body []byte, key string, now time.Time) string {
	var stamp, sum string
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			stamp = value
		case "v1":
			sum = value
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	given, bad := hex.DecodeString(sum)
	if err != nil || bad != nil {
		return "missing"
	}
	if now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return "old"
	}
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.", stamp)
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), given) {
		return "wrong"
	}
	return "valid"
}
