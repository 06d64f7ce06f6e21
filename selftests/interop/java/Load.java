// SPDX-License-Identifier: MIT
//
// Load TARGET CA SECONDS - a steady load of unary calls and short bidirectional streams; at the
// end one line of JSON: {"ok": N, "failed": N, "errors": {"CODE: text": N}}.

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import sluice.test.EchoOuterClass.Reply;
import sluice.test.EchoOuterClass.Request;

final class Load {
	private static final int CONNECTIONS = 2;
	private static final int UNARY = 4;
	private static final int STREAMS = 1;
	private static final int MESSAGES = 10;
	private static final int PAUSE_MS = 5;
	private static final int TIMEOUT_SECONDS = 20;

	private static final Request REQUEST = Echo.request("load");
	private static final Map<String, Integer> errors = new TreeMap<>();
	private static int ok;
	private static int failed;

	private Load() {
	}

	private static synchronized void count(Status status) {
		if (status.isOk()) {
			ok++;
			return;
		}
		failed++;
		errors.merge(status.getCode().value() + ": " + status.getDescription(), 1, Integer::sum);
	}

	private static CallOptions options() {
		return CallOptions.DEFAULT.withDeadlineAfter(TIMEOUT_SECONDS, TimeUnit.SECONDS);
	}

	private static void unary(Channel channel) {
		try {
			ClientCalls.blockingUnaryCall(channel, Echo.UNARY, options(), REQUEST);
			count(Status.OK);
		} catch (StatusRuntimeException e) {
			count(e.getStatus());
		}
	}

	/** Ping-pong; it counts as good where all replies came. */
	private static final class Stream implements StreamObserver<Reply> {
		final CompletableFuture<Status> ended = new CompletableFuture<>();
		StreamObserver<Request> requests;
		private int received;

		@Override
		public void onNext(Reply reply) {
			if (++received < MESSAGES) {
				sleep();
				requests.onNext(REQUEST);
			} else {
				requests.onCompleted();
			}
		}

		@Override
		public void onError(Throwable error) {
			ended.complete(Status.fromThrowable(error));
		}

		@Override
		public void onCompleted() {
			ended.complete(received == MESSAGES ? Status.OK
					: Status.UNKNOWN.withDescription(received + " replies"));
		}
	}

	private static void stream(Channel channel) {
		Stream stream = new Stream();
		stream.requests = ClientCalls.asyncBidiStreamingCall(
				channel.newCall(Echo.BIDI, options()), stream);
		stream.requests.onNext(REQUEST);
		count(stream.ended.join());
	}

	private static void sleep() {
		try {
			Thread.sleep(PAUSE_MS);
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
		}
	}

	public static void main(String[] arguments) throws Exception {
		List<ManagedChannel> channels = new ArrayList<>();
		List<Thread> threads = new ArrayList<>();
		for (int i = 0; i < CONNECTIONS; i++)
			channels.add(Echo.channel(arguments[0], arguments[1]));
		long end = System.nanoTime() + (long) (Double.parseDouble(arguments[2]) * 1e9);
		for (ManagedChannel channel : channels) {
			for (int j = 0; j < UNARY + STREAMS; j++) {
				boolean streams = j >= UNARY;
				Thread thread = new Thread(() -> {
					while (System.nanoTime() < end) {
						if (streams)
							stream(channel);
						else
							unary(channel);
						sleep();
					}
				});
				thread.start();
				threads.add(thread);
			}
		}
		for (Thread thread : threads)
			thread.join();
		for (ManagedChannel channel : channels)
			channel.shutdown();
		List<String> texts = new ArrayList<>();
		errors.forEach((what, number) -> texts.add(Echo.json(what) + ": " + number));
		System.out.println("{\"ok\": " + ok + ", \"failed\": " + failed + ", \"errors\": {"
				+ String.join(", ", texts) + "}}");
	}
}
