// SPDX-License-Identifier: MIT
//
// load: a steady load of unary calls and short bidirectional streams; at the end one line of JSON:
// {"ok": N, "failed": N, "errors": {"CODE: text": N}}.
#include <chrono>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "tools.h"

using grpc::ClientContext;
using grpc::Status;
using sluice::test::Echo;
using sluice::test::Reply;
using sluice::test::Request;

static constexpr int CONNECTIONS = 2, UNARY = 4, STREAMS = 1, MESSAGES = 10;
static constexpr std::chrono::milliseconds PAUSE(5);
static constexpr std::chrono::seconds TIMEOUT(20);

static std::mutex lock;
static std::map<std::string, int> errors;
static int ok, failed;

static void count(const Status &status)
{
	std::lock_guard<std::mutex> guard(lock);

	if (status.ok()) {
		ok++;
		return;
	}
	failed++;
	errors[say(status)]++;
}

static Status unary(Echo::Stub *stub, const Request &request)
{
	ClientContext context;
	Reply reply;

	context.set_deadline(std::chrono::system_clock::now() + TIMEOUT);
	return stub->Unary(&context, request, &reply);
}

// Ping-pong; good only where all replies came.
static Status stream(Echo::Stub *stub, const Request &request)
{
	ClientContext context;
	Reply reply;
	int received = 0;

	context.set_deadline(std::chrono::system_clock::now() + TIMEOUT);
	auto call = stub->Bidi(&context);
	while (received < MESSAGES && call->Write(request) && call->Read(&reply)) {
		received++;
		std::this_thread::sleep_for(PAUSE);
	}
	call->WritesDone();
	while (call->Read(&reply))
		continue;
	Status status = call->Finish();
	if (status.ok() && received != MESSAGES)
		return Status(grpc::UNKNOWN, std::to_string(received) + " replies");
	return status;
}

int load(const std::string &target, const std::string &ca, double seconds)
{
	auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
	std::vector<std::unique_ptr<Echo::Stub>> stubs;
	std::vector<std::thread> threads;
	Request request;

	request.set_payload("load");
	for (int i = 0; i < CONNECTIONS; i++) {
		stubs.push_back(Echo::NewStub(new_channel(target, ca)));
		for (int j = 0; j < UNARY + STREAMS; j++) {
			auto call = j < UNARY ? unary : stream;
			threads.emplace_back([&, call, stub = stubs.back().get()] {
				while (std::chrono::steady_clock::now() < end) {
					count(call(stub, request));
					std::this_thread::sleep_for(PAUSE);
				}
			});
		}
	}
	for (auto &thread : threads)
		thread.join();
	std::cout << "{\"ok\": " << ok << ", \"failed\": " << failed << ", \"errors\": {";
	const char *comma = "";
	for (const auto &[what, number] : errors) {
		std::cout << comma << json(what) << ": " << number;
		comma = ", ";
	}
	std::cout << "}}\n";
	return 0;
}
