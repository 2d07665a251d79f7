// SPDX-License-Identifier: Apache-2.0

// Package notice posts what the baselines have to tell: the same CloudEvent that the operator's webhooks carry.
package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const patience = 10 * time.Second

// Poster posts to one receiver.
type Poster struct {
	url    string
	client *http.Client
}

// NewPoster returns a Poster for the receiver at url.
func NewPoster(url string) *Poster {
	return &Poster{url: url, client: &http.Client{Timeout: patience}}
}

type event struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	Subject     string `json:"subject"`
	ContentType string `json:"datacontenttype"`
	Data        data   `json:"data"`
}

type data struct {
	Event string `json:"event"`
	Text  string `json:"text"`
	Pod   pod    `json:"pod"`
}

type pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// Created tells that a pod was created; an error means that the receiver has not accepted it.
func (p *Poster) Created(ctx context.Context, of *corev1.Pod) error {
	body, err := json.Marshal(event{
		SpecVersion: "1.0",
		ID:          string(of.UID),
		Source:      "/namespaces/" + of.Namespace + "/baseline",
		Type:        "backend.lost.pod-tracker.pod.created.v1",
		Subject:     "pods/" + of.Name,
		ContentType: "application/json",
		Data: data{
			Event: "Created",
			Text:  "Pod " + of.Name + " was created",
			Pod:   pod{Namespace: of.Namespace, Name: of.Name, UID: string(of.UID)},
		},
	})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	// A connection is used again only when its answer was read to the end.
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answered %d", answer.StatusCode)
	}
	return nil
}
