// Package kafka runs a Kafka broker inside the process: it speaks the wire protocol on a loopback port, so that the same client code runs against it and
// against a real cluster. It is for the demo, for tests and for trying things out; it is one broker, without replication.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"strconv"
	"time"

	client "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Options say what to start.
type Options struct {
	// Dir keeps the log and the offsets of groups; the next start on the same folder goes on from them. Empty: memory only.
	Dir string
	// Topics to create where they are missing, with their number of partitions.
	Topics map[string]int
	// Compacted names those of Topics that keep the newest value of each key.
	Compacted []string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
}

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// Start starts a broker on a free port with these topics (name to partitions); dir as in Options.
func Start(dir string, topics map[string]int) (*Broker, error) {
	return StartWith(Options{Dir: dir, Topics: topics})
}

// StartWith starts a broker. It returns when the broker answers and the topics exist.
func StartWith(o Options) (*Broker, error) {
	opts := []kfake.Opt{kfake.Ports(o.Port), kfake.DefaultNumPartitions(1), kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1"})}
	if o.Dir != "" {
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		if o.Port != 0 {
			return nil, fmt.Errorf("start the embedded kafka on port %d: %w", o.Port, err)
		}
		return nil, fmt.Errorf("start the embedded kafka: %w", err)
	}
	b := &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}
	if err := b.create(o); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Addr is the broker's bootstrap address, host:port.
func (b *Broker) Addr() string { return b.addr }

// Port is the port of Addr.
func (b *Broker) Port() int {
	_, port, _ := net.SplitHostPort(b.addr)
	n, _ := strconv.Atoi(port)
	return n
}

// Close stops the broker; a broker with a folder has then saved everything in it. Close may be called twice.
func (b *Broker) Close() { b.cluster.Close() }

func (b *Broker) create(o Options) error {
	if len(o.Topics) == 0 {
		return nil
	}
	compacted := map[string]bool{}
	for _, name := range o.Compacted {
		compacted[name] = true
	}
	names := make([]string, 0, len(o.Topics))
	for name := range o.Topics {
		names = append(names, name)
	}
	sort.Strings(names)
	req := &client.CreateTopicsRequest{}
	for _, name := range names {
		t := client.TopicConfig{Topic: name, NumPartitions: o.Topics[name], ReplicationFactor: 1}
		if compacted[name] {
			t.ConfigEntries = []client.ConfigEntry{{ConfigName: "cleanup.policy", ConfigValue: "compact"}}
		}
		req.Topics = append(req.Topics, t)
	}
	transport := &client.Transport{}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	res, err := (&client.Client{Addr: client.TCP(b.addr), Transport: transport}).CreateTopics(ctx, req)
	if err != nil {
		return fmt.Errorf("create topics on the embedded kafka: %w", err)
	}
	for _, name := range names {
		if err := res.Errors[name]; err != nil && !errors.Is(err, client.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s on the embedded kafka: %w", name, err)
		}
	}
	return nil
}
