package streaming

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// TopicSpec is a topic that EnsureTopics makes where it is missing.
type TopicSpec struct {
	Name       string
	Partitions int
	Compacted  bool   // the newest value of a key is kept, older ones go
	With       string // where this topic exists, its number of partitions is taken instead
}

// EventTopics are the topics of the wire format under their usual names, impressions and actions with the given number of partitions.
func EventTopics(partitions int) []TopicSpec {
	return []TopicSpec{
		{Name: "impressions", Partitions: partitions, With: "actions"}, {Name: "actions", Partitions: partitions, With: "impressions"},
		{Name: "items", Partitions: 1, Compacted: true}, {Name: "users", Partitions: 1, Compacted: true},
	}
}

// EnsureTopics makes the topics that are missing, leaves the others as they are, and returns once every partition has a leader.
func EnsureTopics(ctx context.Context, brokers []string, topics []TopicSpec) error {
	if err := resolve(brokers); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	for asked := false; ; {
		have, err := leaders(ctx, brokers, names)
		if err != nil {
			return fmt.Errorf("look for topics at %v: %w", brokers, err)
		}
		missing := slices.DeleteFunc(slices.Clone(topics), func(t TopicSpec) bool { return have[t.Name] != 0 })
		if len(missing) > 0 && !asked {
			for i, t := range missing {
				if n := have[t.With]; n > 0 {
					missing[i].Partitions = n
				}
			}
			if err := makeTopics(ctx, brokers, missing); err != nil {
				return err
			}
			asked = true
		}
		waits := ""
		for _, t := range topics {
			if have[t.Name] <= 0 {
				waits = t.Name
			}
		}
		if waits == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the leaders of topic %s: %w", waits, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// leaders returns for each topic its number of partitions, 0 where it is missing and -1 while a partition has no leader.
func leaders(ctx context.Context, brokers, topics []string) (map[string]int, error) {
	t := &kafka.Transport{DialTimeout: 5 * time.Second, ClientID: "millrace"} // its own: the shared one answers from a cache
	defer t.CloseIdleConnections()
	res, err := (&kafka.Client{Addr: kafka.TCP(brokers...), Transport: t}).Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, err
	}
	have := map[string]int{}
	for _, t := range res.Topics {
		switch {
		case t.Error == nil:
			have[t.Name] = len(t.Partitions)
		case errors.Is(t.Error, kafka.LeaderNotAvailable):
			have[t.Name] = -1
		case !errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			return nil, fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		for _, p := range t.Partitions {
			if p.Error != nil {
				have[t.Name] = -1
			}
		}
	}
	return have, nil
}

func makeTopics(ctx context.Context, brokers []string, topics []TopicSpec) error {
	t := &kafka.Transport{DialTimeout: 5 * time.Second, ClientID: "millrace"}
	defer t.CloseIdleConnections()
	req := &kafka.CreateTopicsRequest{}
	for _, t := range topics {
		c := kafka.TopicConfig{Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: -1}
		if t.Compacted {
			c.ConfigEntries = []kafka.ConfigEntry{{ConfigName: "cleanup.policy", ConfigValue: "compact"}}
		}
		req.Topics = append(req.Topics, c)
	}
	res, err := (&kafka.Client{Addr: kafka.TCP(brokers...), Transport: t}).CreateTopics(ctx, req)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, t := range topics {
		if err := res.Errors[t.Name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	return nil
}
