// SPDX-License-Identifier: Apache-2.0

// Command controller is a notifier on controller-runtime in the founding design: for each pod that appears, list all
// trackers, annotate those that mean it; the tracker's reconciliation clears the annotation and posts. An update that
// meets a conflict loses its message, as it did there. Pods older than the process are left out, which the founding
// operator did not do: it would post ten thousand messages at its start.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"pod-tracker.lost.backend/bench/baselines/notice"
)

const annotation = "baseline.pod-tracker.lost.backend/pod"

type trackerSpec struct {
	Name     string                `json:"name,omitempty"`
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// Reporter is not read here, but an update without it would be refused.
	Reporter json.RawMessage `json:"reporter,omitempty"`
}

// PodTracker is as much of the tracker as the founding design reads.
type PodTracker struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              trackerSpec `json:"spec,omitempty"`
}

// PodTrackerList is a list of them.
type PodTrackerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PodTracker `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (t *PodTracker) DeepCopyObject() runtime.Object {
	copied := &PodTracker{TypeMeta: t.TypeMeta, Spec: t.Spec}
	copied.Spec.Selector = t.Spec.Selector.DeepCopy()
	copied.Spec.Reporter = bytes.Clone(t.Spec.Reporter)
	t.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	return copied
}

// DeepCopyObject implements runtime.Object.
func (l *PodTrackerList) DeepCopyObject() runtime.Object {
	copied := &PodTrackerList{TypeMeta: l.TypeMeta}
	l.ListMeta.DeepCopyInto(&copied.ListMeta)
	for index := range l.Items {
		copied.Items = append(copied.Items, *l.Items[index].DeepCopyObject().(*PodTracker))
	}
	return copied
}

func (t *PodTracker) means(pod *corev1.Pod) bool {
	if t.Namespace != pod.Namespace {
		return false
	}
	if t.Spec.Selector == nil {
		return t.Spec.Name == pod.Name
	}
	selector, err := metav1.LabelSelectorAsSelector(t.Spec.Selector)
	return err == nil && selector.Matches(labels.Set(pod.Labels))
}

type reconciler struct {
	client.Client
	begin  time.Time
	poster *notice.Poster
}

// requests annotates the trackers that mean a pod, and has them reconciled.
func (r *reconciler) requests(ctx context.Context, object client.Object) []ctrl.Request {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.CreationTimestamp.Time.Before(r.begin) {
		return nil
	}
	var trackers PodTrackerList
	if err := r.List(ctx, &trackers); err != nil {
		log.Printf("cannot list trackers: %v", err)
		return nil
	}
	var found []ctrl.Request
	for index := range trackers.Items {
		tracker := &trackers.Items[index]
		if !tracker.means(pod) {
			continue
		}
		if tracker.Annotations == nil {
			tracker.Annotations = map[string]string{}
		}
		tracker.Annotations[annotation] = pod.Name
		if err := r.Update(ctx, tracker); err != nil {
			log.Printf("cannot annotate %s: %v", tracker.Name, err)
			continue
		}
		found = append(found, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(tracker)})
	}
	return found
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var tracker PodTracker
	if err := r.Get(ctx, request.NamespacedName, &tracker); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	name := tracker.Annotations[annotation]
	if name == "" {
		return ctrl.Result{}, nil
	}
	delete(tracker.Annotations, annotation)
	if err := r.Update(ctx, &tracker); err != nil {
		return ctrl.Result{}, err
	}
	var pod corev1.Pod
	if err := r.Get(ctx, client.ObjectKey{Namespace: tracker.Namespace, Name: name}, &pod); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return ctrl.Result{}, r.poster.Created(ctx, &pod)
}

func main() {
	kubeconfig := flag.String("config", "", "kubeconfig file")
	url := flag.String("url", "", "the receiver's URL")
	probe := flag.String("probe", "", "address that answers once the caches are filled")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(*kubeconfig, *url, *probe); err != nil {
		log.Fatal(err)
	}
}

func run(kubeconfig, url, probe string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	known := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(known); err != nil {
		return err
	}
	group := schema.GroupVersion{Group: "pod-tracker.lost.backend", Version: "v1"}
	known.AddKnownTypes(group, &PodTracker{}, &PodTrackerList{})
	metav1.AddToGroupVersion(known, group)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 known,
		Metrics:                server.Options{BindAddress: "0"},
		HealthProbeBindAddress: probe,
	})
	if err != nil {
		return err
	}
	made := &reconciler{
		Client: manager.GetClient(), begin: time.Now().Truncate(time.Second), poster: notice.NewPoster(url),
	}
	onlyNew := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return true },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
	err = ctrl.NewControllerManagedBy(manager).
		For(&PodTracker{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(made.requests), builder.WithPredicates(onlyNew)).
		Complete(made)
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	ready := healthz.Checker(func(request *http.Request) error {
		if !manager.GetCache().WaitForCacheSync(request.Context()) {
			return context.Canceled
		}
		return nil
	})
	if err := manager.AddReadyzCheck("caches", ready); err != nil {
		return err
	}
	return manager.Start(ctx)
}
