// SPDX-License-Identifier: MIT

// Package method is what the programs here have in common: the Echo service's methods (echo.proto),
// and a client's way to it. protoc-gen-go makes the messages; the rest is short enough by hand.
package method

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	Service      = "sluice.test.Echo"
	Unary        = "/" + Service + "/Unary"
	ClientStream = "/" + Service + "/ClientStream"
	ServerStream = "/" + Service + "/ServerStream"
	Bidi         = "/" + Service + "/Bidi"
)

var (
	BidiStream         = &grpc.StreamDesc{StreamName: "Bidi", ClientStreams: true, ServerStreams: true}
	ClientStreamStream = &grpc.StreamDesc{StreamName: "ClientStream", ClientStreams: true}
	ServerStreamStream = &grpc.StreamDesc{StreamName: "ServerStream", ServerStreams: true}
)

// Dial is TLS by the CA's PEM, the certificate's name being sluice.test; "-" for the CA is
// cleartext.
func Dial(target, ca string) (*grpc.ClientConn, error) {
	limits := grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30))
	if ca == "-" {
		return grpc.Dial(target, limits, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", ca)
	}
	return grpc.Dial(target, limits, grpc.WithTransportCredentials(
		credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "sluice.test"})))
}
