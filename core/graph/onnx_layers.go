package graph

import (
	"math"

	"github.com/millrace/millrace/core/onnx"
)

func (o linearOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	biasAt, slopesAt, residualAt := o.place()
	var y onnx.Value
	if o.bias {
		y = x.dense(in[0].Value, in[1].Value, in[biasAt].Value)
	} else {
		y = x.matmul(in[0].Value, in[1].Value)
	}
	if o.residual {
		y = x.add(y, in[residualAt].Value)
	}
	if o.prelu {
		return x.op("PRelu", y, in[slopesAt].Value)
	}
	return x.activate(o.act, y)
}

func (o activationOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.activate(o.act, in[0].Value)
}

func (preluOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.op("PRelu", in[0].Value, in[1].Value)
}

func (dropoutOp) onnx(_ *ONNX, in []onnxInput) onnx.Value { return in[0].Value }

// standardised is (a−mean)/sqrt(var+eps) with the running statistics.
func (x *ONNX) standardised(spec normSpec, a onnx.Value) onnx.Value {
	var rstd []float32
	for _, v := range spec.stats.Var.F32 {
		rstd = append(rstd, float32(1/math.Sqrt(float64(v)+spec.eps)))
	}
	return x.mul(x.sub(a, x.row(spec.stats.Mean.F32)), x.row(rstd))
}

func (o batchNormOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	y := x.standardised(o.normSpec, in[0].Value)
	if len(in) > 1 {
		y = x.add(x.mul(y, in[1].Value), in[2].Value)
	}
	return x.activate(o.act, y)
}

func (o diceOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	p := x.op("Sigmoid", x.standardised(o.normSpec, in[0].Value))
	alpha := in[1].Value
	return x.mul(in[0].Value, x.add(alpha, x.mul(p, x.sub(x.number(1), alpha))))
}

func (o layerNormOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.activate(o.act, x.layerNorm(in[0].Value, in[1].Value, in[2].Value, in[0].cols, o.eps))
}

func (x *ONNX) layerNorm(a, gamma, beta onnx.Value, cols int, eps float64) onnx.Value {
	return x.to.OpWith("LayerNormalization", []onnx.Attribute{onnx.Int("axis", -1), onnx.Float("epsilon", float32(eps))},
		a, x.reshape(gamma, int64(cols)), x.reshape(beta, int64(cols)))
}

func (rowSoftmaxOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.softmax(in[0].Value, 1) }

func (addOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.add(in[0].Value, in[1].Value) }
func (subOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.sub(in[0].Value, in[1].Value) }
func (mulOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.mul(in[0].Value, in[1].Value) }

func (o shiftOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.add(in[0].Value, x.number(o.by))
}

func (softplusOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.op("Softplus", in[0].Value) }

func (o scaleOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.scaled(in[0].Value, o.alpha) }

func (addRowOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.add(in[0].Value, in[1].Value) }

func (rowSumOp) onnx(x *ONNX, in []onnxInput) onnx.Value { return x.sum(in[0].Value, 1, true) }

func (repeatOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.op("Expand", in[0].Value, x.concat(0, x.rowsOf(in[1].Value), x.to.Ints(int64(in[0].cols))))
}

func (o reshapeOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.reshape(in[0].Value, -1, int64(in[0].cols*o.join/o.split))
}

func (o mixtureOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	experts := x.reshape(in[0].Value, -1, int64(o.experts), int64(in[0].cols/o.experts))
	return x.sum(x.mul(experts, x.unsqueeze(x.softmax(in[1].Value, 1), 2)), 1, false)
}

func (productLogitOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	a, b := x.op("Neg", in[0].Value), x.op("Neg", in[1].Value)
	both := x.add(a, b)
	top := x.op("Max", a, b, both)
	part := func(v onnx.Value) onnx.Value { return x.op("Exp", x.sub(v, top)) }
	return x.op("Neg", x.add(top, x.op("Log", x.op("Sum", part(a), part(b), part(both)))))
}
