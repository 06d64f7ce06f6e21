// SPDX-License-Identifier: MIT
//
// client: calls the Echo service in every way (../README.md has the cases), and prints one line of
// JSON: {"CASE": "" or what went wrong}.
#include <chrono>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <thread>
#include <vector>

#include <grpcpp/impl/codegen/client_unary_call.h>

#include "tools.h"

using grpc::ClientContext;
using grpc::Status;
using sluice::test::Echo;
using sluice::test::Reply;
using sluice::test::Request;

static const std::string MESSAGE = "50% of \"it\" failed: \xc3\xa9, \xe6\x97\xa5\xe6\x9c\xac, \ttab";
static const std::string BINARY("\x00\x01\x02\x7f\x80\xff", 6);
static constexpr size_t MEBI = 1 << 20;
static std::shared_ptr<grpc::Channel> channel;
static std::unique_ptr<Echo::Stub> stub;

// A call's context, with the deadline that each case has.
struct Context : ClientContext {
	explicit Context(std::chrono::milliseconds timeout = std::chrono::seconds(20))
	{
		set_deadline(std::chrono::system_clock::now() + timeout);
	}
};

static std::string want(bool good, const std::string &otherwise)
{
	return good ? "" : otherwise;
}

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

static std::string get(const Metadata &metadata, const std::string &key)
{
	auto found = metadata.find(key);

	return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

static std::string case_unary()
{
	Context context;
	Request request;
	Reply reply;

	request.set_payload("hello");
	Status status = stub->Unary(&context, request, &reply);
	return want(status.ok() && reply.payload() == "hello" && reply.received() == 1, say(status));
}

static std::string case_empty()
{
	Context context, stream_context;
	Request request;
	Reply reply;

	Status status = stub->Unary(&context, request, &reply);
	if (!status.ok() || reply.payload() != "")
		return "unary: " + say(status);
	auto stream = stub->Bidi(&stream_context);
	stream->WritesDone();
	bool came = stream->Read(&reply);
	status = stream->Finish();
	return want(!came && status.ok(), "an empty stream ends with " + say(status));
}

static std::string case_large()
{
	Context context;
	Request request;
	Reply reply;

	request.set_payload(std::string(MEBI, 'x'));
	Status status = stub->Unary(&context, request, &reply);
	return want(status.ok() && reply.payload() == request.payload(), say(status));
}

static std::string case_client_stream()
{
	Context context;
	Request request;
	Reply reply;

	request.set_payload(std::string(1000, 'x'));
	auto stream = stub->ClientStream(&context, &reply);
	for (int i = 0; i < 20; i++)
		stream->Write(request);
	stream->WritesDone();
	Status status = stream->Finish();
	return want(status.ok() && reply.received() == 20 && reply.received_bytes() == 20000,
		    say(status) + ", " + std::to_string(reply.received()) + " received");
}

// Reads a server stream to its end: how many replies came.
static int server_stream(const Request &request, Status *status)
{
	Context context;
	Reply reply;
	int received = 0;

	auto stream = stub->ServerStream(&context, request);
	while (stream->Read(&reply))
		received++;
	*status = stream->Finish();
	return received;
}

static std::string streamed(unsigned count, unsigned size)
{
	Request request;
	Status status;

	request.set_reply_count(count);
	request.set_reply_bytes(size);
	unsigned received = server_stream(request, &status);
	return want(status.ok() && received == count, std::to_string(received) + ", " + say(status));
}

static std::string case_server_stream()
{
	return streamed(20, 1000);
}

static std::string case_large_stream()
{
	return streamed(64, 65536);
}

static std::string case_bidi()
{
	Context context;
	Request request;
	Reply reply;

	auto stream = stub->Bidi(&context);
	for (unsigned i = 1; i <= 10; i++) {
		request.set_payload("message " + std::to_string(i));
		if (!stream->Write(request) || !stream->Read(&reply) ||
		    reply.payload() != request.payload() || reply.received() != i)
			return "reply " + std::to_string(i);
	}
	stream->WritesDone();
	bool more = stream->Read(&reply);
	Status status = stream->Finish();
	return want(!more && status.ok(), say(status));
}

static std::string case_metadata()
{
	Context context;
	Request request;
	Reply reply;
	std::string plain, binary;

	context.AddMetadata("echo-a", "one");
	context.AddMetadata("echo-b-bin", BINARY);
	context.AddMetadata("trail-a", "two");
	context.AddMetadata("trail-b-bin", BINARY);
	context.AddMetadata("plain", "three");
	Status status = stub->Unary(&context, request, &reply);
	if (!status.ok())
		return say(status);
	for (const auto &pair : reply.metadata()) {
		if (pair.key() == "plain")
			plain = pair.value();
		if (pair.key() == "echo-b-bin")
			binary = pair.value();
	}
	if (plain != "three" || binary != BINARY)
		return "the server saw other metadata";
	const Metadata &initial = context.GetServerInitialMetadata();
	if (get(initial, "echo-a") != "one" || get(initial, "echo-b-bin") != BINARY)
		return "initial metadata";
	const Metadata &trailing = context.GetServerTrailingMetadata();
	return want(get(trailing, "trail-a") == "two" && get(trailing, "trail-b-bin") == BINARY,
		    "trailing metadata");
}

static std::string case_status()
{
	Context context;
	Request request;
	Reply reply;

	context.AddMetadata("trail-b-bin", BINARY);
	request.set_status(9);
	request.set_message(MESSAGE);
	request.set_fail_first(true);
	Status status = stub->Unary(&context, request, &reply);
	if (status.error_code() != grpc::FAILED_PRECONDITION || status.error_message() != MESSAGE)
		return say(status);
	return want(get(context.GetServerTrailingMetadata(), "trail-b-bin") == BINARY,
		    "trailing metadata");
}

static std::string case_status_after_replies()
{
	Request request;
	Status status;

	request.set_reply_count(3);
	request.set_status(10);
	request.set_message(MESSAGE);
	int received = server_stream(request, &status);
	return want(received == 3 && status.error_code() == grpc::ABORTED &&
		    status.error_message() == MESSAGE, std::to_string(received) + ", " + say(status));
}

static std::string case_deadline()
{
	auto began = std::chrono::steady_clock::now();
	Context context(std::chrono::milliseconds(300));
	Request request;
	Reply reply;

	request.set_sleep_ms(5000);
	Status status = stub->Unary(&context, request, &reply);
	auto took = std::chrono::steady_clock::now() - began;
	return want(status.error_code() == grpc::DEADLINE_EXCEEDED && took < std::chrono::seconds(3),
		    say(status));
}

static std::string case_deadline_seen()
{
	Context context;
	Request request;
	Reply reply;

	Status status = stub->Unary(&context, request, &reply);
	return want(status.ok() && reply.time_remaining() > 1 && reply.time_remaining() <= 30,
		    say(status) + ", " + std::to_string(reply.time_remaining()) + " s");
}

static std::string case_cancel()
{
	Context context;
	Request request;
	Reply reply;

	auto stream = stub->Bidi(&context);
	if (!stream->Write(request) || !stream->Read(&reply))
		return "no first reply";
	context.TryCancel();
	bool more = stream->Read(&reply);
	Status status = stream->Finish();
	return want(!more && status.error_code() == grpc::CANCELLED, say(status));
}

// Calls a method that the generated stub has not.
static Status call(const std::string &path)
{
	Context context;
	Request request;
	Reply reply;
	grpc::internal::RpcMethod method(path.c_str(), grpc::internal::RpcMethod::NORMAL_RPC);

	return grpc::internal::BlockingUnaryCall(channel.get(), method, &context, request, &reply);
}

static std::string case_unimplemented()
{
	Status status = call("/sluice.test.Echo/Missing");

	if (status.error_code() != grpc::UNIMPLEMENTED)
		return "method: " + say(status);
	status = call("/sluice.test.Missing/Unary");
	return want(status.error_code() == grpc::UNIMPLEMENTED, "service: " + say(status));
}

static std::string case_many()
{
	std::vector<std::future<Status>> calls;
	std::string wrong;

	for (int i = 0; i < 100; i++)
		calls.push_back(std::async(std::launch::async, [] {
			Context context;
			Request request;
			Reply reply;

			request.set_payload(std::string(1000, 'x'));
			return stub->Unary(&context, request, &reply);
		}));
	for (auto &one : calls) {
		Status status = one.get();
		if (!status.ok())
			wrong = say(status);
	}
	return wrong;
}

int client(const std::string &target, const std::string &ca)
{
	static const std::map<std::string, std::function<std::string()>> cases = {
		{"unary", case_unary}, {"empty", case_empty}, {"large", case_large},
		{"client_stream", case_client_stream}, {"server_stream", case_server_stream},
		{"large_stream", case_large_stream}, {"bidi", case_bidi},
		{"metadata", case_metadata}, {"status", case_status},
		{"status_after_replies", case_status_after_replies}, {"deadline", case_deadline},
		{"deadline_seen", case_deadline_seen}, {"cancel", case_cancel},
		{"unimplemented", case_unimplemented}, {"many", case_many},
	};
	const char *comma = "{";

	channel = new_channel(target, ca);
	stub = Echo::NewStub(channel);
	for (const auto &[name, run] : cases) {
		std::cout << comma << json(name) << ": " << json(run());
		comma = ", ";
	}
	std::cout << "}" << std::endl;
	return 0;
}
