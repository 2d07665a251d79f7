// SPDX-License-Identifier: Apache-2.0

// Command informer is the notifier that one writes first with client-go: a shared informer of all pods, a work queue, one
// worker, and a message for each pod that was created since the start and has a label. Nothing is tuned: the garbage
// collector, the wire format, and what the informer keeps are the defaults. It remembers nothing across a restart.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"

	"pod-tracker.lost.backend/bench/baselines/notice"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	selector := flag.String("selector", "", "labels of the pods to tell of")
	url := flag.String("url", "", "the receiver's URL")
	probe := flag.String("probe", "", "address that answers once the cache is filled")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *kubeconfig, *selector, *url, *probe); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig, selector, url, probe string) error {
	wanted, err := labels.Parse(selector)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	// Creation times are whole seconds.
	begin := time.Now().Truncate(time.Second)
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	defer queue.ShutDown()
	_, err = pods.Informer().AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) {
			pod, ok := object.(*corev1.Pod)
			if !ok || initial || pod.CreationTimestamp.Time.Before(begin) || !wanted.Matches(labels.Set(pod.Labels)) {
				return
			}
			queue.Add(cache.MetaObjectToName(pod).String())
		},
	})
	if err != nil {
		return err
	}
	var synced atomic.Bool
	go serve(probe, &synced)
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.Informer().HasSynced) {
		return fmt.Errorf("ended before the cache was filled")
	}
	synced.Store(true)
	go work(ctx, queue, pods.Informer().GetIndexer(), notice.NewPoster(url))
	<-ctx.Done()
	return nil
}

func work(
	ctx context.Context, queue workqueue.TypedRateLimitingInterface[string], known cache.Indexer, poster *notice.Poster,
) {
	for {
		key, ended := queue.Get()
		if ended {
			return
		}
		if err := tell(ctx, key, known, poster); err != nil {
			log.Printf("%s: %v", key, err)
			queue.AddRateLimited(key)
		} else {
			queue.Forget(key)
		}
		queue.Done(key)
	}
}

func tell(ctx context.Context, key string, known cache.Indexer, poster *notice.Poster) error {
	object, exists, err := known.GetByKey(key)
	if err != nil || !exists {
		return err
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("the cache holds a %T", object)
	}
	return poster.Created(ctx, pod)
}

func serve(address string, synced *atomic.Bool) {
	handler := func(writer http.ResponseWriter, _ *http.Request) {
		if !synced.Load() {
			writer.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	log.Fatal(http.ListenAndServe(address, http.HandlerFunc(handler)))
}
