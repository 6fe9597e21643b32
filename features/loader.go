package features

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
)

// LoaderOptions tune a Loader.
type LoaderOptions struct {
	BatchSize  int
	Shuffle    bool
	Seed       uint64
	BufferRows int   // shuffle buffer, default 1<<20 rows; data that fits in it is kept encoded in memory and shuffled perfectly each epoch; negative: nothing is kept, for one pass in order
	Part       *Part // nil: all rows
	Read       ReadOptions
	// WholeGroups makes batches of whole groups, of at most BatchSize rows; larger groups are cut.
	WholeGroups bool
	// Negatives is the probability with which a row whose first label is 0 is served, drawn by Seed and the row's place among those read; 0: all are.
	Negatives float64
}

// Loader serves encoded batches of files, epoch after epoch, decoding ahead on its own goroutine with bounded memory. Its methods belong to one goroutine; an epoch must be closed before the next begins.
type Loader struct {
	encoder *Encoder
	files   []string
	options LoaderOptions

	mu      sync.Mutex // guards the three below
	loaded  bool
	rows    int64
	badRows int64

	packing *packing
	kept    *packedRows // nil: the rows do not fit
	groups  []uint64    // of the kept rows, with WholeGroups
}

// NewLoader checks the files and returns a loader. The order of batches depends only on files, seed, epoch and options.
func NewLoader(e *Encoder, files []string, o LoaderOptions) (*Loader, error) {
	if o.BatchSize <= 0 {
		return nil, fmt.Errorf("loader: batch size %d; want 1 or more", o.BatchSize)
	}
	if o.BufferRows == 0 {
		o.BufferRows = 1 << 20
	}
	if o.WholeGroups && e.schema.GroupColumn() == "" {
		return nil, &SchemaError{Reason: "batches of whole groups: the schema names neither group nor user"}
	}
	l := &Loader{encoder: e, files: files, options: o}
	r, err := openPart(e.schema, files, o.Part, o.Read)
	if err != nil {
		return nil, err
	}
	return l, r.Close()
}

// Rows is the number of rows in an epoch, 0 before it is known; BadRows those skipped.
func (l *Loader) Rows() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows
}

// BadRows is the number of unusable rows skipped in one pass.
func (l *Loader) BadRows() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.badRows
}

func (l *Loader) learn(rows, bad int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows, l.badRows = rows, bad
}

// partReader is a Reader that keeps a part's rows only: keep is nil where all of a record's rows are.
type partReader struct {
	Reader
	selector *selector
}

func openPart(s *Schema, files []string, part *Part, o ReadOptions) (*partReader, error) {
	p := &partReader{}
	if part != nil {
		sel, err := newSelector(s, part)
		if err != nil {
			return nil, err
		}
		p.selector = sel
	}
	r, err := Open(s, files, o)
	if err != nil {
		return nil, err
	}
	p.Reader = r
	return p, nil
}

// Next returns the next record that holds rows of the part, with just those.
func (p *partReader) Next() (arrow.Record, error) {
	for {
		rec, err := p.Reader.Next()
		if err != nil || p.selector == nil {
			return rec, err
		}
		keep, err := p.selector.rows(rec)
		if err != nil {
			rec.Release()
			return nil, err
		}
		out := filterRecord(rec, keep)
		rec.Release()
		if out.NumRows() > 0 {
			return out, nil
		}
		out.Release()
	}
}

// stream reads encoded batches in the order of files.
type stream struct {
	reader  *partReader
	encoder *Encoder
	batch   Batch
	thinned *negatives // nil: every row is served
}

func (l *Loader) stream(files []string) (*stream, error) {
	r, err := openPart(l.encoder.schema, files, l.options.Part, l.options.Read)
	if err != nil {
		return nil, err
	}
	s := &stream{reader: r, encoder: l.encoder}
	if rate := l.options.Negatives; rate > 0 && rate < 1 {
		s.thinned = &negatives{rate: rate, seed: l.options.Seed}
	}
	return s, nil
}

// next fills the stream's batch with the next record's rows.
func (s *stream) next() error {
	if s.thinned == nil {
		return s.encode(&s.batch)
	}
	for {
		if err := s.encode(&s.thinned.raw); err != nil {
			return err
		}
		if s.thinned.thin(&s.batch); s.batch.Rows > 0 {
			return nil
		}
	}
}

func (s *stream) encode(b *Batch) error {
	rec, err := s.reader.Next()
	if err != nil {
		return err
	}
	defer rec.Release()
	return s.encoder.EncodeInto(b, rec)
}

// load keeps the rows in memory if they fit.
func (l *Loader) load() error {
	if l.loaded || l.options.BufferRows < 0 {
		return nil
	}
	s, err := l.stream(l.files)
	if err != nil {
		return err
	}
	defer s.reader.Close()
	kept := &packedRows{}
	var row []byte
	for {
		err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(kept.at)+s.batch.Rows > l.options.BufferRows {
			l.loaded, l.groups = true, nil
			return nil
		}
		if l.packing == nil {
			l.packing = newPacking(l.encoder.schema, &s.batch)
		}
		for r := range s.batch.Rows {
			row = l.packing.pack(row[:0], &s.batch, r)
			kept.add(row)
		}
		if l.options.WholeGroups {
			l.groups = append(l.groups, s.batch.Groups...)
		}
	}
	if len(kept.at) == 0 {
		return emptyPart(l.options.Part, l.files)
	}
	l.kept, l.loaded = kept, true
	l.learn(int64(len(kept.at)), s.reader.BadRows())
	return nil
}

// Epoch starts the given epoch, skipping its first skip batches (resume).
func (l *Loader) Epoch(epoch int, skip int) (*Epoch, error) {
	if err := l.load(); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(l.options.Seed, uint64(epoch)))
	if l.kept != nil {
		if l.options.WholeGroups {
			return l.start(&groupPass{loader: l, random: random, skip: skip}), nil
		}
		return l.start(l.fromMemory(random, skip)), nil
	}
	files := append([]string(nil), l.files...)
	shuffle := l.options.Shuffle && l.options.BufferRows > 0
	if shuffle {
		random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	}
	s, err := l.stream(files)
	if err != nil {
		return nil, err
	}
	if l.options.WholeGroups && l.options.BufferRows > 0 {
		return l.start(&groupPass{loader: l, stream: s, random: random, skip: skip}), nil
	}
	p := &passer{loader: l, stream: s, random: random, skip: skip}
	if shuffle {
		p.slots = make([][]byte, 0, l.options.BufferRows)
	}
	return l.start(p), nil
}
