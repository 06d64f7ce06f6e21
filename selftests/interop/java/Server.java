// SPDX-License-Identifier: MIT
//
// Server ADDRESS - grpc-java as a backend: Echo (echo.proto) and grpc.health.v1 on cleartext
// HTTP/2. Ends with its standard input, so that none outlives a test run.

import com.google.protobuf.ByteString;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Deadline;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import sluice.test.EchoOuterClass.Pair;
import sluice.test.EchoOuterClass.Reply;
import sluice.test.EchoOuterClass.Request;

final class Server {
	private static final Context.Key<Metadata> METADATA = Context.key("metadata");
	private static final Context.Key<String> PEER = Context.key("peer");

	private Server() {
	}

	/** Metadata keys echo-* come back as initial, trail-* as trailing metadata. */
	private static final class Reflect implements ServerInterceptor {
		@Override
		public <A, B> ServerCall.Listener<A> interceptCall(ServerCall<A, B> call, Metadata metadata,
				ServerCallHandler<A, B> next) {
			Context context = Context.current().withValue(METADATA, metadata).withValue(PEER,
					String.valueOf(call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR)));
			ServerCall<A, B> reflecting = new SimpleForwardingServerCall<A, B>(call) {
				@Override
				public void sendHeaders(Metadata headers) {
					Echo.select(metadata, "echo-", headers);
					super.sendHeaders(headers);
				}

				@Override
				public void close(Status status, Metadata trailers) {
					Echo.select(metadata, "trail-", trailers);
					super.close(status, trailers);
				}
			};
			return Contexts.interceptCall(context, reflecting, metadata, next);
		}
	}

	private static Reply reply(Request request, int received, long size) {
		Reply.Builder reply = Reply.newBuilder().setBackend("java").setReceived(received)
				.setReceivedBytes(size).setPeer(PEER.get());
		reply.setPayload(request.getReplyBytes() == 0 ? request.getPayload()
				: ByteString.copyFrom(new byte[request.getReplyBytes()]));
		Metadata metadata = METADATA.get();
		for (String name : metadata.keys())
			if (name.endsWith(Metadata.BINARY_HEADER_SUFFIX))
				for (byte[] value : metadata.getAll(Echo.binary(name)))
					reply.addMetadata(pair(name, ByteString.copyFrom(value)));
			else
				for (String value : metadata.getAll(Echo.text(name)))
					reply.addMetadata(pair(name, ByteString.copyFromUtf8(value)));
		Deadline deadline = Context.current().getDeadline();
		if (deadline != null)
			reply.setTimeRemaining(deadline.timeRemaining(TimeUnit.MILLISECONDS) / 1000.0);
		return reply.build();
	}

	private static Pair pair(String name, ByteString value) {
		return Pair.newBuilder().setKey(name).setValue(value).build();
	}

	private static void pause(Request request) {
		try {
			Thread.sleep(request.getSleepMs());
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
		}
	}

	/** Whether the request says that the call ends with an error now. */
	private static boolean fails(Request request, StreamObserver<Reply> replies) {
		if (request.getStatus() == 0)
			return false;
		replies.onError(Status.fromCodeValue(request.getStatus())
				.withDescription(request.getMessage()).asRuntimeException());
		return true;
	}

	private static void unary(Request request, StreamObserver<Reply> replies) {
		pause(request);
		if (((ServerCallStreamObserver<Reply>) replies).isCancelled() || fails(request, replies))
			return;
		replies.onNext(reply(request, 1, request.getPayload().size()));
		replies.onCompleted();
	}

	private static void serverStream(Request request, StreamObserver<Reply> replies) {
		ServerCallStreamObserver<Reply> call = (ServerCallStreamObserver<Reply>) replies;
		Reply reply = reply(request, 1, request.getPayload().size());
		call.setOnReadyHandler(new Runnable() {
			private int sent;
			private boolean over;

			@Override
			public void run() {
				while (!over && call.isReady() && sent < request.getReplyCount()) {
					pause(request);
					call.onNext(reply);
					sent++;
				}
				if (over || sent < request.getReplyCount())
					return;
				over = true;
				if (!fails(request, call))
					call.onCompleted();
			}
		});
	}

	/** Client streaming answers once at the end, the other kind each request. */
	private static final class Requests implements StreamObserver<Request> {
		private final StreamObserver<Reply> replies;
		private final boolean each;
		private Request last = Request.getDefaultInstance();
		private int received;
		private long size;
		private boolean failed;

		Requests(StreamObserver<Reply> replies, boolean each) {
			this.replies = replies;
			this.each = each;
		}

		@Override
		public void onNext(Request request) {
			if (failed)
				return;
			received++;
			size += request.getPayload().size();
			last = request;
			if (!each)
				return;
			pause(request);
			failed = fails(request, replies);
			if (!failed)
				replies.onNext(reply(request, received, size));
		}

		@Override
		public void onError(Throwable error) {
			failed = true;
		}

		@Override
		public void onCompleted() {
			if (failed || !each && fails(last, replies))
				return;
			if (!each)
				replies.onNext(reply(last, received, size));
			replies.onCompleted();
		}
	}

	private static ServerServiceDefinition service() {
		return ServerServiceDefinition.builder(Echo.SERVICE)
				.addMethod(Echo.UNARY, ServerCalls.asyncUnaryCall(Server::unary))
				.addMethod(Echo.SERVER_STREAM,
						ServerCalls.asyncServerStreamingCall(Server::serverStream))
				.addMethod(Echo.CLIENT_STREAM, ServerCalls.asyncClientStreamingCall(
						replies -> new Requests(replies, false)))
				.addMethod(Echo.BIDI, ServerCalls.asyncBidiStreamingCall(
						replies -> new Requests(replies, true)))
				.build();
	}

	public static void main(String[] arguments) throws Exception {
		int colon = arguments[0].lastIndexOf(':');
		NettyServerBuilder
				.forAddress(new InetSocketAddress(arguments[0].substring(0, colon),
						Integer.parseInt(arguments[0].substring(colon + 1))))
				.maxInboundMessageSize(Integer.MAX_VALUE)
				.addService(ServerInterceptors.intercept(service(), new Reflect()))
				.addService(new HealthStatusManager().getHealthService())
				.build().start();
		while (System.in.read() != -1)
			continue;
		System.exit(0);
	}
}
