package snapshot

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// TestStreamsAreTensors: what is streamed is what is written at once.
func TestStreamsAreTensors(t *testing.T) {
	tensors := []Tensor{NewTensor("a", []float32{1, 2, 3, 4}, 2, 2), NewTensor("b", []uint64{7}), NewTensor("none", []float32{}, 0, 5)}
	tensors = append(tensors, Tensor{Name: "pieces", DType: "U8", Shape: []int{3}, Pieces: [][]byte{{1}, {2, 3}}})
	meta := map[string]string{"k": "v"}
	var once, streamed bytes.Buffer
	if err := EncodeTensors(&once, tensors, meta); err != nil {
		t.Fatal(err)
	}
	var streams []Stream
	for _, x := range tensors {
		streams = append(streams, StreamOf(x))
	}
	var told int64
	if err := EncodeStreams(&streamed, streams, meta, func(n int64) { told = n }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(once.Bytes(), streamed.Bytes()) {
		t.Error("streamed bytes differ")
	}
	if told != int64(streamed.Len()) {
		t.Errorf("told %d bytes, wrote %d", told, streamed.Len())
	}
}

func TestStreamErrors(t *testing.T) {
	f := func(s Stream, want string) {
		t.Helper()
		err := EncodeStreams(&bytes.Buffer{}, []Stream{s}, nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	bytesOf := func(n int) func(*bufio.Writer) error {
		return func(w *bufio.Writer) error {
			_, err := w.Write(make([]byte, n))
			return err
		}
	}
	f(Stream{"x", "F32", []int{2}, bytesOf(7)}, "write tensor x: 7 bytes, want 8")
	f(Stream{"x", "BF16", []int{2}, bytesOf(4)}, `type "BF16"`)
	f(Stream{"x", "F16", []int{2}, bytesOf(5)}, "5 bytes, want 4")
}
