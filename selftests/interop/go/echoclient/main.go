// SPDX-License-Identifier: MIT

// echoclient TARGET CA: calls the Echo service in every way (../../README.md has the cases), and
// prints one line of JSON: {"CASE": "" or what went wrong}.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"sluice/interop/echo"
	"sluice/interop/method"
)

const (
	message = "50% of \"it\" failed: é, 日本, \ttab"
	mebi    = 1 << 20
)

var binary = string([]byte{0, 1, 2, 127, 128, 255})

func payload(size int) []byte {
	return bytes.Repeat([]byte{'x'}, size)
}

func want(ok bool, format string, arguments ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, arguments...)
}

func unary(ctx context.Context, conn *grpc.ClientConn, request *echo.Request, options ...grpc.CallOption) (*echo.Reply, error) {
	reply := &echo.Reply{}
	return reply, conn.Invoke(ctx, method.Unary, request, reply, options...)
}

func caseUnary(ctx context.Context, conn *grpc.ClientConn) error {
	reply, err := unary(ctx, conn, &echo.Request{Payload: []byte("hello")})
	if err != nil {
		return err
	}
	return want(string(reply.Payload) == "hello" && reply.Received == 1, "reply %v", reply)
}

func caseEmpty(ctx context.Context, conn *grpc.ClientConn) error {
	reply, err := unary(ctx, conn, &echo.Request{})
	if err != nil {
		return err
	}
	if err := want(len(reply.Payload) == 0, "reply %v", reply); err != nil {
		return err
	}
	stream, err := conn.NewStream(ctx, method.BidiStream, method.Bidi)
	if err != nil {
		return err
	}
	stream.CloseSend()
	err = stream.RecvMsg(reply)
	return want(err == io.EOF, "an empty stream ends with %v", err)
}

func caseLarge(ctx context.Context, conn *grpc.ClientConn) error {
	reply, err := unary(ctx, conn, &echo.Request{Payload: payload(mebi)})
	if err != nil {
		return err
	}
	return want(bytes.Equal(reply.Payload, payload(mebi)), "%d bytes came back", len(reply.Payload))
}

func caseClientStream(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := conn.NewStream(ctx, method.ClientStreamStream, method.ClientStream)
	if err != nil {
		return err
	}
	for i := 0; i < 20; i++ {
		if err := stream.SendMsg(&echo.Request{Payload: payload(1000)}); err != nil {
			return err
		}
	}
	stream.CloseSend()
	reply := &echo.Reply{}
	if err := stream.RecvMsg(reply); err != nil {
		return err
	}
	return want(reply.Received == 20 && reply.ReceivedBytes == 20000, "reply %v", reply)
}

// The replies that came, and how it ended (nil: in order).
func serverStream(ctx context.Context, conn *grpc.ClientConn, request *echo.Request) (int, error) {
	stream, err := conn.NewStream(ctx, method.ServerStreamStream, method.ServerStream)
	if err != nil {
		return 0, err
	}
	if err := stream.SendMsg(request); err != nil {
		return 0, err
	}
	stream.CloseSend()
	for received := 0; ; received++ {
		if err := stream.RecvMsg(&echo.Reply{}); err == io.EOF {
			return received, nil
		} else if err != nil {
			return received, err
		}
	}
}

func caseServerStream(ctx context.Context, conn *grpc.ClientConn) error {
	received, err := serverStream(ctx, conn, &echo.Request{ReplyCount: 20, ReplyBytes: 1000})
	return want(err == nil && received == 20, "%d replies, %v", received, err)
}

func caseLargeStream(ctx context.Context, conn *grpc.ClientConn) error {
	received, err := serverStream(ctx, conn, &echo.Request{ReplyCount: 64, ReplyBytes: 65536})
	return want(err == nil && received == 64, "%d replies, %v", received, err)
}

func caseBidi(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := conn.NewStream(ctx, method.BidiStream, method.Bidi)
	if err != nil {
		return err
	}
	for i := 1; i <= 10; i++ {
		text := fmt.Sprint("message ", i)
		if err := stream.SendMsg(&echo.Request{Payload: []byte(text)}); err != nil {
			return err
		}
		reply := &echo.Reply{}
		if err := stream.RecvMsg(reply); err != nil {
			return err
		}
		if string(reply.Payload) != text || reply.Received != uint32(i) {
			return fmt.Errorf("reply %d: %v", i, reply)
		}
	}
	stream.CloseSend()
	err = stream.RecvMsg(&echo.Reply{})
	return want(err == io.EOF, "the end is %v", err)
}

func caseMetadata(ctx context.Context, conn *grpc.ClientConn) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "echo-a", "one", "echo-b-bin", binary, "trail-a", "two",
		"trail-b-bin", binary, "plain", "three")
	var header, trailer metadata.MD
	reply, err := unary(ctx, conn, &echo.Request{}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		return err
	}
	seen := map[string]string{}
	for _, pair := range reply.Metadata {
		seen[pair.Key] = string(pair.Value)
	}
	if seen["plain"] != "three" || seen["echo-b-bin"] != binary {
		return fmt.Errorf("the server saw %q", seen)
	}
	if strings.Join(header["echo-a"], "") != "one" || strings.Join(header["echo-b-bin"], "") != binary {
		return fmt.Errorf("initial metadata %q", header)
	}
	return want(strings.Join(trailer["trail-a"], "") == "two" &&
		strings.Join(trailer["trail-b-bin"], "") == binary, "trailing metadata %q", trailer)
}

func caseStatus(ctx context.Context, conn *grpc.ClientConn) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "trail-a", "two", "trail-b-bin", binary)
	var trailer metadata.MD
	_, err := unary(ctx, conn, &echo.Request{Status: 9, Message: message, FailFirst: true}, grpc.Trailer(&trailer))
	s := status.Convert(err)
	if s.Code() != codes.FailedPrecondition || s.Message() != message {
		return fmt.Errorf("%d %q", s.Code(), s.Message())
	}
	return want(strings.Join(trailer["trail-b-bin"], "") == binary, "trailing metadata %q", trailer)
}

func caseStatusAfterReplies(ctx context.Context, conn *grpc.ClientConn) error {
	received, err := serverStream(ctx, conn, &echo.Request{ReplyCount: 3, Status: 10, Message: message})
	s := status.Convert(err)
	return want(received == 3 && s.Code() == codes.Aborted && s.Message() == message,
		"%d replies, %d %q", received, s.Code(), s.Message())
}

func caseDeadline(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := unary(ctx, conn, &echo.Request{SleepMs: 5000})
	return want(status.Code(err) == codes.DeadlineExceeded && time.Since(began) < 3*time.Second,
		"%v after %v", err, time.Since(began))
}

func caseDeadlineSeen(ctx context.Context, conn *grpc.ClientConn) error {
	reply, err := unary(ctx, conn, &echo.Request{})
	if err != nil {
		return err
	}
	return want(reply.TimeRemaining > 1 && reply.TimeRemaining <= 30, "the server has %v s", reply.TimeRemaining)
}

func caseCancel(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, method.BidiStream, method.Bidi)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&echo.Request{}); err != nil {
		return err
	}
	if err := stream.RecvMsg(&echo.Reply{}); err != nil {
		return err
	}
	cancel()
	err = stream.RecvMsg(&echo.Reply{})
	return want(status.Code(err) == codes.Canceled, "after the cancel: %v", err)
}

func caseUnimplemented(ctx context.Context, conn *grpc.ClientConn) error {
	err := conn.Invoke(ctx, "/"+method.Service+"/Missing", &echo.Request{}, &echo.Reply{})
	if status.Code(err) != codes.Unimplemented {
		return fmt.Errorf("method: %v", err)
	}
	err = conn.Invoke(ctx, "/sluice.test.Missing/Unary", &echo.Request{}, &echo.Reply{})
	return want(status.Code(err) == codes.Unimplemented, "service: %v", err)
}

func caseMany(ctx context.Context, conn *grpc.ClientConn) error {
	var calls sync.WaitGroup
	errors := make(chan error, 100)
	for i := 0; i < 100; i++ {
		calls.Add(1)
		go func() {
			defer calls.Done()
			if _, err := unary(ctx, conn, &echo.Request{Payload: payload(1000)}); err != nil {
				errors <- err
			}
		}()
	}
	calls.Wait()
	if len(errors) > 0 {
		return fmt.Errorf("%d of 100 failed: %v", len(errors), <-errors)
	}
	return nil
}

var cases = map[string]func(context.Context, *grpc.ClientConn) error{
	"unary": caseUnary, "empty": caseEmpty, "large": caseLarge, "client_stream": caseClientStream,
	"server_stream": caseServerStream, "large_stream": caseLargeStream, "bidi": caseBidi,
	"metadata": caseMetadata, "status": caseStatus, "status_after_replies": caseStatusAfterReplies,
	"deadline": caseDeadline, "deadline_seen": caseDeadlineSeen, "cancel": caseCancel,
	"unimplemented": caseUnimplemented, "many": caseMany,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("echoclient TARGET CA")
	}
	conn, err := method.Dial(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	results := map[string]string{}
	for name, run := range cases {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		results[name] = ""
		if err := run(ctx, conn); err != nil {
			results[name] = err.Error()
		}
		cancel()
	}
	json.NewEncoder(os.Stdout).Encode(results)
}
