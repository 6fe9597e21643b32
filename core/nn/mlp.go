package nn

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/core/graph"
)

// Linear adds weight (xavier-normal) and bias (zeros) name+"/weight", name+"/bias" and returns act(x·w+b).
func (n *Net) Linear(name string, x *graph.Node, out int, act graph.Activation) *graph.Node {
	w := n.Param(name+"/weight", x.Cols, out, XavierNormal())
	b := n.Param(name+"/bias", 1, out, Zeros())
	return graph.Linear(x, w, b, act)
}

// BatchNorm adds name+"/gamma" (ones), name+"/beta" (zeros) and the running statistics, with FuxiCTR's ε 1e-5 and momentum 0.1.
func (n *Net) BatchNorm(name string, x *graph.Node) *graph.Node {
	return n.batchNorm(name, x, graph.Identity)
}

func (n *Net) batchNorm(name string, x *graph.Node, act graph.Activation) *graph.Node {
	gamma := n.Param(name+"/gamma", 1, x.Cols, Constant(1))
	beta := n.Param(name+"/beta", 1, x.Cols, Zeros())
	return graph.BatchNormAct(x, gamma, beta, n.Stats(name, x.Cols), 1e-5, 0.1, act)
}

// PReLU adds the slopes name+"/alpha", one a unit, starting at PReLUSlope.
func (n *Net) PReLU(name string, x *graph.Node) *graph.Node {
	return graph.PReLU(x, n.Param(name+"/alpha", 1, x.Cols, Constant(n.PReLUSlope)))
}

// Dice adds the slopes name+"/alpha" (zeros) and running statistics, with FuxiCTR's ε 1e-9 and momentum DiceMomentum.
func (n *Net) Dice(name string, x *graph.Node) *graph.Node {
	alpha := n.Param(name+"/alpha", 1, x.Cols, Zeros())
	return graph.Dice(x, alpha, n.Stats(name, x.Cols), 1e-9, n.DiceMomentum)
}

// Activations lists the names that MLPSpec and AttentionSpec know.
func Activations() []string {
	return []string{"relu", "sigmoid", "tanh", "gelu", "silu", "prelu", "dice", "identity"}
}

// MLPSpec describes a tower in FuxiCTR's terms: each hidden layer is Linear → BatchNorm (if on) → activation → dropout.
type MLPSpec struct {
	Hidden     []int
	Activation string    // relu, sigmoid, tanh, gelu, silu, prelu, dice, identity (case ignored)
	Dropout    []float64 // one a hidden layer, or one for all, or none
	BatchNorm  bool
	Out        int // >0: a last Linear without activation
}

// MLP adds a tower and returns its last value. Hidden layer i is called name/i (weight, bias, bn/gamma, act/alpha, …), the last Linear name/out.
func (n *Net) MLP(name string, x *graph.Node, s MLPSpec) *graph.Node {
	for i, out := range s.Hidden {
		layer := fmt.Sprintf("%s/%d", name, i)
		if s.BatchNorm {
			act, ok := fused(s.Activation)
			x = n.batchNorm(layer+"/bn", n.Linear(layer, x, out, graph.Identity), act)
			if !ok {
				x = n.activation(layer+"/act", x, s.Activation)
			}
		} else {
			x = n.activatedLinear(layer, x, out, s.Activation)
		}
		x = graph.Dropout(x, layerDropout(s.Dropout, i, len(s.Hidden)))
	}
	if s.Out > 0 {
		x = n.Linear(name+"/out", x, s.Out, graph.Identity)
	}
	return x
}

// layerDropout returns the rate of hidden layer i of so many.
func layerDropout(rates []float64, i, layers int) float64 {
	switch len(rates) {
	case 0:
		return 0
	case 1:
		return rates[0]
	case layers:
		return rates[i]
	}
	panic(graph.Misuse("MLP: %d dropout rates for %d hidden layers", len(rates), layers))
}

// element returns the activation that is one function of each element by itself.
func element(activation string) (graph.Activation, bool) {
	switch strings.ToLower(activation) {
	case "gelu":
		return graph.GELU, true
	case "silu", "swish":
		return graph.SiLU, true
	}
	return fused(activation)
}

// fused returns the activation that every layer with one can compute itself, for it is its own derivative's argument.
func fused(activation string) (graph.Activation, bool) {
	switch strings.ToLower(activation) {
	case "relu":
		return graph.ReLU, true
	case "sigmoid":
		return graph.SigmoidAct, true
	case "tanh":
		return graph.TanhAct, true
	case "identity", "linear", "":
		return graph.Identity, true
	}
	return graph.Identity, false
}

// activation adds the named activation.
func (n *Net) activation(name string, x *graph.Node, activation string) *graph.Node {
	if act, ok := element(activation); ok {
		return graph.Apply(x, act)
	}
	switch strings.ToLower(activation) {
	case "prelu":
		return n.PReLU(name, x)
	case "dice":
		return n.Dice(name, x)
	}
	panic(graph.Misuse("unknown activation %q; known: %s", activation, strings.Join(Activations(), ", ")))
}

// activatedLinear adds a Linear and the named activation, in one operation where there is one.
func (n *Net) activatedLinear(name string, x *graph.Node, out int, activation string) *graph.Node {
	if act, ok := element(activation); ok {
		return n.Linear(name, x, out, act)
	}
	if strings.EqualFold(activation, "prelu") {
		w := n.Param(name+"/weight", x.Cols, out, XavierNormal())
		b := n.Param(name+"/bias", 1, out, Zeros())
		return graph.LinearWith(x, w, b, graph.Epilogue{Slopes: n.Param(name+"/act/alpha", 1, out, Constant(n.PReLUSlope))})
	}
	x = n.Linear(name, x, out, graph.Identity)
	return n.activation(name+"/act", x, activation)
}

// LayerNorm adds name+"/gamma" (ones) and name+"/beta" (zeros), ε 1e-5.
func (n *Net) LayerNorm(name string, x *graph.Node) *graph.Node {
	gamma := n.Param(name+"/gamma", 1, x.Cols, Constant(1))
	beta := n.Param(name+"/beta", 1, x.Cols, Zeros())
	return graph.LayerNorm(x, gamma, beta, 1e-5)
}
