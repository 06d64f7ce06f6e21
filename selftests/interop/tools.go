// SPDX-License-Identifier: MIT

//go:build tools

// Names grpc-go's own interoperability client, so that go.sum covers what it needs.
package tools

import _ "google.golang.org/grpc/interop/client"
