// Package all links every model into the registry.
package all

import (
	_ "github.com/millrace/millrace/models/autoint"   // AutoInt, AutoInt+
	_ "github.com/millrace/millrace/models/bst"       // BST
	_ "github.com/millrace/millrace/models/dcnv2"     // DCN-v2, DCN
	_ "github.com/millrace/millrace/models/deepfm"    // DeepFM
	_ "github.com/millrace/millrace/models/dien"      // DIEN
	_ "github.com/millrace/millrace/models/din"       // DIN
	_ "github.com/millrace/millrace/models/dlrm"      // DLRM
	_ "github.com/millrace/millrace/models/dnn"       // DNN
	_ "github.com/millrace/millrace/models/dtrn"      // after DTRN's description
	_ "github.com/millrace/millrace/models/fibinet"   // FiBiNET
	_ "github.com/millrace/millrace/models/finalmlp"  // FinalMLP, DualMLP
	_ "github.com/millrace/millrace/models/fm"        // FM
	_ "github.com/millrace/millrace/models/fwfm"      // FwFM
	_ "github.com/millrace/millrace/models/lr"        // LR
	_ "github.com/millrace/millrace/models/masknet"   // MaskNet
	_ "github.com/millrace/millrace/models/multitask" // SharedBottom, MMoE, PLE, ESMM, AITM
	_ "github.com/millrace/millrace/models/sim"       // SIM
	_ "github.com/millrace/millrace/models/twotower"  // two towers
	_ "github.com/millrace/millrace/models/widedeep"  // Wide&Deep
	_ "github.com/millrace/millrace/models/xdeepfm"   // xDeepFM
)
