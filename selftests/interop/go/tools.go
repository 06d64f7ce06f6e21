// SPDX-License-Identifier: MIT

//go:build tools

// Names the programs of others that are built here, so that go.sum covers what they need.
package tools

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "github.com/summerwind/h2spec/cmd/h2specd"
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/protobuf/cmd/protoc-gen-go"
)
