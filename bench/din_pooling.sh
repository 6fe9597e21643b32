#!/bin/sh
# DIN against its BaseModel, the same network with sum or mean pooling, and on MovieLens against DeepFM: the tables of docs/results.md, from raw files (bench/seeds.sh) to intervals.
#
#   bench/din_pooling.sh DATA OUT [SEEDS]
#
# DATA holds the folders ml-1m, amazon-sequences and taobao-userbehavior with the raw files that examples/*/prepare.yaml name.
set -eu
data=$1 out=$2 seeds=${3:-5}

# table EXAMPLE RAW MODEL…: the first model is the one that the others are tested against.
table() {
	example=$1 raw=$data/$2 runs=$out/$1
	shift 2
	bench/seeds.sh "$example" "$raw" "$runs" "$seeds" "$@"
	for model; do
		set -- "$@" "$model=$runs/$model"
		shift
	done
	millrace compare "$@" --data "$runs/data/test.parquet" --out "$runs/comparison"
}

table ml-1m ml-1m din din-sum din-mean deepfm
table amazon-sequences amazon-sequences din din-sum din-mean
table taobao-userbehavior-pairs taobao-userbehavior din din-sum din-mean
