// SPDX-License-Identifier: MIT
//
// grpc++ as a backend: Echo (echo.proto) and grpc.health.v1 on cleartext HTTP/2. Ends with its
// standard input, so that none outlives a test run.
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <thread>

#include <grpcpp/health_check_service_interface.h>

#include "tools.h"

using grpc::ServerContext;
using grpc::Status;
using sluice::test::Reply;
using sluice::test::Request;

static Status failure(const Request &request)
{
	return Status((grpc::StatusCode)request.status(), request.message());
}

// Metadata keys echo-* come back as initial, trail-* as trailing metadata.
static void reflect(ServerContext *context)
{
	for (const auto &[key, value] : context->client_metadata()) {
		std::string name(key.data(), key.size()), text(value.data(), value.size());
		if (name.rfind("echo-", 0) == 0)
			context->AddInitialMetadata(name, text);
		if (name.rfind("trail-", 0) == 0)
			context->AddTrailingMetadata(name, text);
	}
}

// False where the client is gone meanwhile.
static bool pause_for(ServerContext *context, const Request &request)
{
	auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(request.sleep_ms());

	while (std::chrono::steady_clock::now() < end) {
		if (context->IsCancelled())
			return false;
		std::this_thread::sleep_for(std::chrono::milliseconds(5));
	}
	return true;
}

static Reply make_reply(ServerContext *context, const Request &request, int received, size_t size)
{
	Reply reply;

	reply.set_payload(request.reply_bytes() ? std::string(request.reply_bytes(), 'x')
						: request.payload());
	reply.set_backend("cpp");
	reply.set_received(received);
	reply.set_received_bytes(size);
	reply.set_peer(context->peer());
	for (const auto &[key, value] : context->client_metadata()) {
		auto *pair = reply.add_metadata();
		pair->set_key(std::string(key.data(), key.size()));
		pair->set_value(std::string(value.data(), value.size()));
	}
	std::chrono::duration<double> left = context->deadline() - std::chrono::system_clock::now();
	if (left.count() < 1e8)
		reply.set_time_remaining(left.count());
	return reply;
}

class EchoService final : public sluice::test::Echo::Service {
	Status Unary(ServerContext *context, const Request *request, Reply *reply) override
	{
		reflect(context);
		if (!pause_for(context, *request))
			return Status::CANCELLED;
		*reply = make_reply(context, *request, 1, request->payload().size());
		return failure(*request);
	}

	Status ClientStream(ServerContext *context, grpc::ServerReader<Request> *reader,
			    Reply *reply) override
	{
		Request request;
		size_t size = 0;
		int received = 0;

		reflect(context);
		reader->SendInitialMetadata();
		while (reader->Read(&request)) {
			received++;
			size += request.payload().size();
		}
		*reply = make_reply(context, request, received, size);
		return failure(request);
	}

	Status ServerStream(ServerContext *context, const Request *request,
			    grpc::ServerWriter<Reply> *writer) override
	{
		reflect(context);
		writer->SendInitialMetadata();
		for (unsigned i = 0; i < request->reply_count(); i++) {
			if (!pause_for(context, *request) ||
			    !writer->Write(make_reply(context, *request, 1, request->payload().size())))
				return Status::CANCELLED;
		}
		return failure(*request);
	}

	Status Bidi(ServerContext *context, grpc::ServerReaderWriter<Reply, Request> *stream) override
	{
		Request request;
		size_t size = 0;
		int received = 0;

		reflect(context);
		stream->SendInitialMetadata();
		while (stream->Read(&request)) {
			size += request.payload().size();
			if (!pause_for(context, request))
				return Status::CANCELLED;
			if (request.status())
				return failure(request);
			if (!stream->Write(make_reply(context, request, ++received, size)))
				return Status::CANCELLED;
		}
		return Status::OK;
	}
};

int server(const std::string &address)
{
	EchoService service;
	grpc::ServerBuilder builder;
	char byte;

	grpc::EnableDefaultHealthCheckService(true);
	builder.AddListeningPort(address, grpc::InsecureServerCredentials());
	builder.SetMaxReceiveMessageSize(-1);
	builder.SetMaxSendMessageSize(-1);
	builder.RegisterService(&service);
	std::unique_ptr<grpc::Server> running = builder.BuildAndStart();
	if (!running) {
		std::cerr << "cannot listen on " << address << "\n";
		return 1;
	}
	while (read(0, &byte, 1) > 0)
		continue;
	_exit(0); // calls may be under way
}
