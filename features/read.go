package features

import "github.com/apache/arrow/go/v15/arrow"

// Reader yields records in file order, then io.EOF. The caller releases each record.
type Reader interface {
	Next() (arrow.Record, error)
	Close() error
	// BadRows counts rows skipped so far.
	BadRows() int64
	// Progress returns the share of the input's bytes consumed, 0 to 1.
	Progress() float64
}

// ReadOptions tune Open. SkipBad is how many unusable rows over all files are tolerated; beyond that the error is *DataError.
type ReadOptions struct {
	BatchRows int // default 4096
	SkipBad   int64
	Labels    bool // labels required (training, eval) or optional (predict)
}

// DataError names the file, the line (1 is the first, the header included; a record number in Parquet and Arrow), and the field and value where there is one.
type DataError struct {
	File   string
	Line   int64
	Field  string
	Value  string
	Reason string
}

func (e *DataError) Error() string { panic("contract") }

// Expand resolves files, folders and globs to a sorted list of data files; nothing found is an error.
func Expand(paths []string) ([]string, error) { panic("contract") }

// Open reads files by their names: .csv .tsv .txt .dat .libfm .libsvm … with .gz or .zst, .parquet, .arrow/.feather/.ipc. Validity of every row (numbers, UTF-8, column count) is checked here.
func Open(s *Schema, files []string, o ReadOptions) (Reader, error) { panic("contract") }

// Part selects rows of a share split: by a seeded hash of the row, or by a field (a timestamp: the newest last; a group: whole groups).
type Part struct {
	Of   *Split
	Name string // "train", "valid", "test"
}

// Split cuts one set of rows into parts.
type Split struct {
	Valid, Test float64 // shares
	By          string  // column, empty: hash of the row
	Seed        uint64
	// private: thresholds learned by PlanSplit
}

// PlanSplit learns what a split by timestamp needs (one pass); other splits need none.
func PlanSplit(s *Schema, files []string, sp *Split, o ReadOptions) error { panic("contract") }

// LoaderOptions tune a Loader.
type LoaderOptions struct {
	BatchSize  int
	Shuffle    bool
	Seed       uint64
	BufferRows int   // shuffle buffer, default 1<<20 rows; data that fits in it is kept encoded in memory and shuffled perfectly each epoch
	Part       *Part // nil: all rows
	Read       ReadOptions
}

// Loader serves encoded batches of files, epoch after epoch, decoding ahead on its own goroutine with bounded memory.
type Loader struct{}

// NewLoader checks the files and returns a loader. The order of batches depends only on files, seed, epoch and options.
func NewLoader(e *Encoder, files []string, o LoaderOptions) (*Loader, error) { panic("contract") }

// Epoch starts the given epoch, skipping its first skip batches (resume).
func (l *Loader) Epoch(epoch int, skip int) (*Epoch, error) { panic("contract") }

// Epoch iterates one pass.
type Epoch struct{}

// Next returns the next batch, valid until the following call, or io.EOF.
func (e *Epoch) Next() (*Batch, error) { panic("contract") }

// Close stops the pass and its goroutine.
func (e *Epoch) Close() error { panic("contract") }

// Rows is the number of rows in an epoch, 0 before it is known; BadRows those skipped.
func (l *Loader) Rows() int64    { panic("contract") }
func (l *Loader) BadRows() int64 { panic("contract") }

// Fit makes one pass over the training rows: numeric statistics and the vocabulary by minimum counts.
func Fit(s *Schema, files []string, part *Part, o ReadOptions, progress func(share float64)) (*Stats, Vocabulary, error) {
	panic("contract")
}
