#!/bin/sh
# DTRN against its three ablations and against MMoE and PLE over the same bottom, on four sets: the tables of docs/results.md, from raw files to the figures of each run (bench/seeds.sh).
#
#   bench/dtrn_ablations.sh DATA OUT [SEEDS]
#
# DATA holds the folders taobao-userbehavior, kuairand-sub and alibaba-2014 with the raw files that examples/*/prepare.yaml name; the simulated world is made here.
set -eu
data=$1 out=$2 seeds=${3:-5}

# table EXAMPLE RAW
table() {
	bench/seeds.sh "$1" "$2" "$out/$1" "$seeds" dtrn dtrn-no-condition dtrn-shared-trm dtrn-no-trm mmoe ple
}

mkdir -p "$out/world"
[ -e "$out/world/impressions.csv" ] || millrace simulate --tasks --events 200000 --seed 1 --out "$out/world/impressions.csv"
table conflict "$out/world"
table taobao-multi "$data/taobao-userbehavior"
table kuairand-sub "$data/kuairand-sub"
table alibaba-2014 "$data/alibaba-2014"
