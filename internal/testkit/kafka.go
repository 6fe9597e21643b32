package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaVersion is the broker that tests run against: 4.0.0 lacks the group protocol's version that clients of ours speak, 4.1.0 has it.
const kafkaVersion = "4.1.0"

// Kafka is a real broker of one node (KRaft).
type Kafka struct {
	Addr string // host:port
	dir  string
	libs string
	p    *process
}

// StartKafka starts a real Kafka in the test's temporary folder, from jars that are fetched from Maven Central once and kept in the user's cache folder. The test
// skips where there is no Java, Maven or jars.
func StartKafka(t testing.TB) *Kafka {
	t.Helper()
	libs, err := kafkaJars()
	if err != nil {
		absent(t, "kafka", "%v", err)
	}
	k := &Kafka{dir: t.TempDir(), libs: libs}
	if err := k.prepare(); err != nil {
		absent(t, "kafka", "%v", err)
	}
	if err := k.start(); err != nil {
		absent(t, "kafka", "it does not start: %v", err)
	}
	t.Cleanup(func() { k.p.kill() })
	return k
}

// Topic makes a topic.
func (k *Kafka) Topic(t testing.TB, name string, partitions int) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP(k.Addr), Transport: transport}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		var res *kafka.CreateTopicsResponse
		res, err = c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}}})
		if err == nil {
			err = res.Errors[name]
		}
		if err == nil || errors.Is(err, kafka.TopicAlreadyExists) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("create topic %s: %v", name, err)
}

// Kill ends the broker at once, as a crash does; its log stays for Restart.
func (k *Kafka) Kill() { k.p.kill() }

// Restart starts the broker again on its log and address, after Kill.
func (k *Kafka) Restart(t testing.TB) {
	t.Helper()
	if err := k.start(); err != nil {
		t.Fatalf("restart kafka: %v", err)
	}
}

func (k *Kafka) start() error {
	p, err := startProcess(filepath.Join(k.dir, "kafka.log"), "java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", k.libs+"/*", "kafka.Kafka", filepath.Join(k.dir, "server.properties"))
	if err != nil {
		return err
	}
	k.p = p
	if err := p.listening(k.Addr, 60*time.Second); err != nil {
		p.kill()
		return err
	}
	return nil
}

// prepare writes the broker's settings and formats its folder.
func (k *Kafka) prepare() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	controller, err := freePort()
	if err != nil {
		return err
	}
	k.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	settings := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
log.dirs=%[3]s
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
`, port, controller, filepath.Join(k.dir, "data"))
	path := filepath.Join(k.dir, "server.properties")
	if err := os.WriteFile(path, []byte(settings), 0o644); err != nil {
		return err
	}
	out, err := exec.Command("java", "-XX:+UseSerialGC", "-cp", k.libs+"/*", "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format the broker's folder: %w: %s", err, out)
	}
	return nil
}

// kafkaJars returns the folder of the broker's jars, fetching them where they are missing.
func kafkaJars() (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", errors.New("java is not installed")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	libs := filepath.Join(cache, "millrace", "kafka-"+kafkaVersion)
	if _, err := os.Stat(libs); err == nil {
		return libs, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", errors.New("maven is not installed, and the broker's jars are not in the cache")
	}
	if err := os.MkdirAll(filepath.Dir(libs), 0o755); err != nil {
		return "", err
	}
	// Aside and renamed: several test processes may fetch at once.
	tmp, err := os.MkdirTemp(filepath.Dir(libs), "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	pom := filepath.Join(tmp, "pom.xml")
	err = os.WriteFile(pom, []byte(`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>kafka-libs</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>`+kafkaVersion+`</version></dependency></dependencies>
</project>
`), 0o644)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	jars := filepath.Join(tmp, "libs")
	out, err := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("fetch the broker's jars: %w: %s", err, out[max(0, len(out)-500):])
	}
	if err := os.Rename(jars, libs); err != nil {
		if _, there := os.Stat(libs); there == nil {
			return libs, nil
		}
		return "", err
	}
	return libs, nil
}
