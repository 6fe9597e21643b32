package graph

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/kernel"
)

// FrequencyColumns is the width of the state that LogFrequency keeps: a row a number, mean gap, sightings and the two halves of the row last seen in, and one row more for the clock.
const FrequencyColumns = 4

// half is how far the lower half of a clock counts: float32 holds both halves exactly up to 2⁴⁶ rows.
const half = 1 << 23

// LogFrequency returns, of codes [B, 1], whole numbers below state.Rows−1, the logarithm of how large a share of the rows each is: −ln of the mean gap between the rows in which it is met (Yi and others,
// RecSys 2019, algorithm 2, with a row for a step: where an item is met several times in a batch its gaps are short). The gaps' mean has the rate 1/n at the n-th meeting and never less than rate: at first it is
// the exact frequency so far, then it forgets. Running a training plan updates state [N+1, FrequencyColumns]; inference reads it, and takes what was never met as met in the next row. It has no gradient.
func LogFrequency(codes *Node, state *Tensor, rate float64) *Node {
	if codes.Cols != 1 {
		fail("LogFrequency: codes have %d columns, want 1", codes.Cols)
	}
	if state.Rows < 2 || state.Cols != FrequencyColumns || state.DType() != codes.g.dtype {
		fail("LogFrequency: the state is [%d, %d], want a row a code and one more of %d", state.Rows, state.Cols, FrequencyColumns)
	}
	if !(rate > 0 && rate <= 1) {
		fail("LogFrequency: rate %g, want more than 0 and at most 1", rate)
	}
	return apply(frequencyOp{state: state, rate: rate}, []shape{free(1)}, codes)
}

type frequencyOp struct {
	backward
	state *Tensor
	rate  float64
}

func (o frequencyOp) String() string {
	return fmt.Sprintf("logarithm of frequencies at rate %g", o.rate)
}

func (o frequencyOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return nil
}

func (o frequencyOp) runner(e *env) runner {
	return pick(e, frequency[float32](o, e), frequency[float64](o, e))
}

func frequency[T kernel.Float](o frequencyOp, e *env) runner {
	return func(in, out []*Tensor) {
		codes, y, state := data[T](in[0]), data[T](out[0]), data[T](o.state)
		clock := state[len(state)-FrequencyColumns:]
		now := uint64(clock[2])*half + uint64(clock[3])
		n := o.state.Rows - 1
		for _, c := range codes {
			now++
			if e.training {
				meet(state[int(c)%n*FrequencyColumns:][:FrequencyColumns], now, o.rate)
			}
		}
		if e.training {
			clock[2], clock[3] = T(now/half), T(now%half)
		}
		for r, c := range codes {
			gap := float64(state[int(c)%n*FrequencyColumns])
			if gap == 0 {
				gap = float64(now)
			}
			y[r] = T(-math.Log(max(gap, 1)))
		}
	}
}

// meet takes in that a code is met in a row.
func meet[T kernel.Float](s []T, now uint64, rate float64) {
	last := uint64(s[2])*half + uint64(s[3])
	if float64(s[1])*rate < 1 {
		s[1]++
	}
	by := max(1/float64(s[1]), rate)
	s[0] += T(by * (float64(now-last) - float64(s[0])))
	s[2], s[3] = T(now/half), T(now%half)
}
