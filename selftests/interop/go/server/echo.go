// SPDX-License-Identifier: MIT

// The Echo service (echo.proto): it does what the request says.
package main

import (
	"context"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"sluice/interop/echo"
	"sluice/interop/method"
)

// Metadata keys that begin with the prefix, as metadata of their own.
func choose(from metadata.MD, prefix string) metadata.MD {
	to := metadata.MD{}
	for key, values := range from {
		if strings.HasPrefix(key, prefix) {
			to[key] = values
		}
	}
	return to
}

func reply(ctx context.Context, request *echo.Request, received, size int) *echo.Reply {
	answer := &echo.Reply{Payload: request.Payload, Backend: "go", Received: uint32(received),
		ReceivedBytes: uint64(size)}
	if request.ReplyBytes > 0 {
		answer.Payload = make([]byte, request.ReplyBytes)
	}
	sent, _ := metadata.FromIncomingContext(ctx)
	for key, values := range sent {
		for _, value := range values {
			answer.Metadata = append(answer.Metadata, &echo.Pair{Key: key, Value: []byte(value)})
		}
	}
	if from, ok := peer.FromContext(ctx); ok {
		answer.Peer = from.Addr.String()
	}
	if deadline, ok := ctx.Deadline(); ok {
		answer.TimeRemaining = time.Until(deadline).Seconds()
	}
	return answer
}

// Waits as the request says, and ends the call where it says so or the client is gone.
func obey(ctx context.Context, request *echo.Request) error {
	if request.SleepMs > 0 {
		select {
		case <-time.After(time.Duration(request.SleepMs) * time.Millisecond):
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return nil
}

func failure(request *echo.Request) error {
	return status.Error(codes.Code(request.Status), request.Message) // nil where it is 0
}

func unary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := &echo.Request{}
	if err := decode(request); err != nil {
		return nil, err
	}
	sent, _ := metadata.FromIncomingContext(ctx)
	grpc.SetTrailer(ctx, choose(sent, "trail-"))
	if err := obey(ctx, request); err != nil {
		return nil, err
	}
	if request.Status != 0 {
		return nil, failure(request)
	}
	grpc.SetHeader(ctx, choose(sent, "echo-"))
	return reply(ctx, request, 1, len(request.Payload)), nil
}

// Sends the initial metadata, keeps the trailers for the end.
func begin(stream grpc.ServerStream) error {
	sent, _ := metadata.FromIncomingContext(stream.Context())
	stream.SetTrailer(choose(sent, "trail-"))
	return stream.SendHeader(choose(sent, "echo-"))
}

func clientStream(_ any, stream grpc.ServerStream) error {
	if err := begin(stream); err != nil {
		return err
	}
	last, received, size := &echo.Request{}, 0, 0
	for {
		request := &echo.Request{}
		if err := stream.RecvMsg(request); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		received++
		size += len(request.Payload)
		last = request
	}
	if last.Status != 0 {
		return failure(last)
	}
	return stream.SendMsg(reply(stream.Context(), last, received, size))
}

func serverStream(_ any, stream grpc.ServerStream) error {
	request := &echo.Request{}
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	if err := begin(stream); err != nil {
		return err
	}
	for i := 0; i < int(request.ReplyCount); i++ {
		if err := obey(stream.Context(), request); err != nil {
			return err
		}
		if err := stream.SendMsg(reply(stream.Context(), request, 1, len(request.Payload))); err != nil {
			return err
		}
	}
	return failure(request)
}

func bidi(_ any, stream grpc.ServerStream) error {
	if err := begin(stream); err != nil {
		return err
	}
	for received, size := 1, 0; ; received++ {
		request := &echo.Request{}
		if err := stream.RecvMsg(request); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		size += len(request.Payload)
		if err := obey(stream.Context(), request); err != nil {
			return err
		}
		if request.Status != 0 {
			return failure(request)
		}
		if err := stream.SendMsg(reply(stream.Context(), request, received, size)); err != nil {
			return err
		}
	}
}

var echoService = grpc.ServiceDesc{
	ServiceName: method.Service,
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
	Streams: []grpc.StreamDesc{
		{StreamName: "ClientStream", Handler: clientStream, ClientStreams: true},
		{StreamName: "ServerStream", Handler: serverStream, ServerStreams: true},
		{StreamName: "Bidi", Handler: bidi, ClientStreams: true, ServerStreams: true},
	},
	Metadata: "echo.proto",
}
