package graph

import "github.com/millrace/millrace/core/onnx"

// fields turns [B, fields·d] into [B, fields, d].
func (x *ONNX) fields(in onnxInput, fields int) onnx.Value {
	return x.reshape(in.Value, -1, int64(fields), int64(in.cols/fields))
}

// The difference of two sums of squares is taken in float64, as the kernel does.
func (o fmOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	squares := func(v onnx.Value) onnx.Value { return x.reduce("ReduceSumSquare", v, 1, true) }
	all := x.cast(in[0].Value, onnx.Float64)
	sums := x.sum(x.fields(onnxInput{all, in[0].rows, in[0].cols}, o.fields), 1, false)
	return x.mul(x.number(0.5), x.cast(x.sub(squares(sums), squares(all)), onnx.Float32))
}

func (o fieldSumOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.scaled(x.sum(x.fields(in[0], o.fields), 2, false), o.scale)
}

func (fieldScaleOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	y := x.mul(x.fields(in[0], in[1].cols), x.unsqueeze(in[1].Value, 2))
	return x.reshape(y, -1, int64(in[0].cols))
}

func (o fieldLinearOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	d := int64(in[1].cols)
	w := x.reshape(in[1].Value, int64(o.fields), -1, d)
	return x.joined(x.matmul(x.transpose(x.fields(in[0], o.fields), 1, 0, 2), w), int64(o.fields)*d)
}

// joined turns [fields, B, d] into [B, fields·d].
func (x *ONNX) joined(a onnx.Value, cols int64) onnx.Value {
	return x.reshape(x.transpose(a, 1, 0, 2), -1, cols)
}

// pairIndices lists the fields of each pair, first and second.
func pairIndices(fields int) (first, second []int64) {
	for f := range fields {
		for g := f + 1; g < fields; g++ {
			first, second = append(first, int64(f)), append(second, int64(g))
		}
	}
	return first, second
}

func (o pairDotsOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	v := x.fields(in[0], o.fields)
	products := x.reshape(x.matmul(v, x.transpose(v, 0, 2, 1)), -1, int64(o.fields*o.fields))
	first, second := pairIndices(o.fields)
	at := make([]int64, len(first))
	for i := range at {
		at[i] = first[i]*int64(o.fields) + second[i]
	}
	return x.take(products, 1, x.to.Ints(at...))
}

func (o bilinearPairsOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	v, d := x.fields(in[0], o.fields), int64(in[1].cols)
	first, second := pairIndices(o.fields)
	var left onnx.Value // v_f·W of each pair, [B, pairs, d]
	switch {
	case o.pair:
		each := x.transpose(x.take(v, 1, x.to.Ints(first...)), 1, 0, 2)
		left = x.transpose(x.matmul(each, x.reshape(in[1].Value, -1, d, d)), 1, 0, 2)
	case o.each:
		each := x.transpose(x.slice(v, 1, 0, o.fields-1), 1, 0, 2)
		left = x.take(x.transpose(x.matmul(each, x.reshape(in[1].Value, -1, d, d)), 1, 0, 2), 1, x.to.Ints(first...))
	default:
		left = x.take(x.matmul(v, in[1].Value), 1, x.to.Ints(first...))
	}
	return x.reshape(x.mul(left, x.take(v, 1, x.to.Ints(second...))), -1, int64(pairs(o.fields))*d)
}

func (o cinOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	maps, fields := x.unsqueeze(x.fields(in[0], o.maps), 2), x.unsqueeze(x.fields(in[1], o.fields), 1)
	products := x.reshape(x.mul(maps, fields), -1, int64(o.maps*o.fields), int64(o.d))
	y := x.add(x.matmul(in[2].Value, products), x.reshape(in[3].Value, int64(o.out), 1))
	return x.reshape(y, -1, int64(o.out*o.d))
}

func (crossOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.add(x.mul(in[0].Value, in[1].Value), in[2].Value)
}

func (crossVectorOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	y := x.mul(in[0].Value, x.matmul(in[1].Value, in[2].Value))
	return x.add(x.add(y, in[3].Value), in[1].Value)
}

func (gateOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.mul(x.mul(x.number(2), x.op("Sigmoid", in[0].Value)), in[1].Value)
}

func (o bilinearOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	heads := int64(o.heads)
	w := x.reshape(in[2].Value, heads, int64(in[0].cols)/heads, int64(in[1].cols)/heads)
	left := x.joined(x.matmul(x.transpose(x.fields(in[0], o.heads), 1, 0, 2), w), int64(in[1].cols))
	return x.sum(x.mul(left, in[1].Value), 1, true)
}

// fieldAttention is the attention without its residual, of queries, keys and values side by side.
func (x *ONNX) fieldAttention(o attentionShape, p onnx.Value) onnx.Value {
	m, h, d := int64(o.fields), int64(o.heads), int64(o.width/o.heads)
	block := func(i int, perm ...int64) onnx.Value { // of [B, fields, heads, d]
		return x.transpose(x.reshape(x.columns(p, i*o.width, (i+1)*o.width), -1, m, h, d), perm...)
	}
	weights := x.softmax(x.scaled(x.matmul(block(0, 0, 2, 1, 3), block(1, 0, 2, 3, 1)), o.scale), 3)
	return x.reshape(x.transpose(x.matmul(weights, block(2, 0, 2, 1, 3)), 0, 2, 1, 3), -1, int64(o.width))
}

func (o interactingOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	p := x.matmul(in[0].Value, in[1].Value)
	if o.bias {
		p = x.op("Relu", x.add(p, in[2].Value))
	}
	y := x.fieldAttention(o.attentionShape, p)
	switch {
	case o.residual:
		y = x.add(y, in[0].Value)
	case in[1].cols == 4*o.width:
		y = x.add(y, x.columns(p, 3*o.width, 4*o.width))
	}
	norm := func() {
		if o.normed {
			y = x.layerNorm(y, in[o.norm()].Value, in[o.norm()+1].Value, o.width, o.eps)
		}
	}
	if o.last {
		y = x.op("Relu", y)
		norm()
		return y
	}
	norm()
	return x.op("Relu", y)
}
