// SPDX-License-Identifier: MIT

// load TARGET CA SECONDS: a steady load of unary calls and short bidirectional streams; at the end
// one line of JSON: {"ok": N, "failed": N, "errors": {"CODE: text": N}}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"sluice/interop/echo"
	"sluice/interop/method"
)

const (
	connections = 2
	unaryCalls  = 4
	streams     = 1
	messages    = 10
	pause       = 5 * time.Millisecond
	timeout     = 20 * time.Second
)

type report struct {
	lock   sync.Mutex
	OK     int            `json:"ok"`
	Failed int            `json:"failed"`
	Errors map[string]int `json:"errors"`
}

func (r *report) count(err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if err == nil {
		r.OK++
		return
	}
	r.Failed++
	s := status.Convert(err)
	r.Errors[fmt.Sprintf("%d: %s", s.Code(), s.Message())]++
}

func unary(ctx context.Context, conn *grpc.ClientConn) error {
	return conn.Invoke(ctx, method.Unary, &echo.Request{Payload: []byte("load")}, &echo.Reply{})
}

// Ping-pong; nil only where all replies came.
func stream(ctx context.Context, conn *grpc.ClientConn) error {
	call, err := conn.NewStream(ctx, method.BidiStream, method.Bidi)
	if err != nil {
		return err
	}
	for i := 0; i < messages; i++ {
		// io.EOF says that the call is over: RecvMsg has its status.
		if err := call.SendMsg(&echo.Request{Payload: []byte("load")}); err != nil && err != io.EOF {
			return err
		}
		if err := call.RecvMsg(&echo.Reply{}); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	call.CloseSend()
	if err := call.RecvMsg(&echo.Reply{}); err != io.EOF {
		return fmt.Errorf("after the last reply: %v", err)
	}
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("load TARGET CA SECONDS")
	}
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	if err != nil {
		log.Fatal(err)
	}
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	result := &report{Errors: map[string]int{}}
	var workers sync.WaitGroup
	for i := 0; i < connections; i++ {
		conn, err := method.Dial(os.Args[1], os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		for j := 0; j < unaryCalls+streams; j++ {
			call := unary
			if j >= unaryCalls {
				call = stream
			}
			workers.Add(1)
			go func() {
				defer workers.Done()
				for time.Now().Before(end) {
					ctx, cancel := context.WithTimeout(context.Background(), timeout)
					result.count(call(ctx, conn))
					cancel()
					time.Sleep(pause)
				}
			}()
		}
	}
	workers.Wait()
	json.NewEncoder(os.Stdout).Encode(result)
}
