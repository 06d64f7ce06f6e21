// SPDX-License-Identifier: MIT
//
// Client TARGET CA - calls the Echo service in every way (../README.md has the cases), and prints
// one line of JSON: {"CASE": "" or what went wrong}.

import com.google.protobuf.ByteString;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import sluice.test.EchoOuterClass.Pair;
import sluice.test.EchoOuterClass.Reply;
import sluice.test.EchoOuterClass.Request;

final class Client {
	private static final String MESSAGE = "50% of \"it\" failed: \u00e9, \u65e5\u672c, \ttab";
	private static final byte[] BINARY = {0, 1, 2, 127, (byte) 128, (byte) 255};
	private static final int MEBI = 1 << 20;
	private static final long TIMEOUT_MS = 20000;

	private static ManagedChannel channel;

	private Client() {
	}

	/** What a case throws where it did not go as it should. */
	private static final class Wrong extends Exception {
		private static final long serialVersionUID = 1;

		Wrong(String why) {
			super(why);
		}
	}

	private interface Case {
		void run() throws Exception;
	}

	private static void want(boolean good, String otherwise) throws Wrong {
		if (!good)
			throw new Wrong(otherwise);
	}

	private static Request.Builder request(int size) {
		return Request.newBuilder().setPayload(payload(size));
	}

	private static ByteString payload(int size) {
		byte[] bytes = new byte[size];
		Arrays.fill(bytes, (byte) 'x');
		return ByteString.copyFrom(bytes);
	}

	/** One call: its replies and its end. Ping-pong where `turns` is not 0. */
	private static final class Call extends ClientCall.Listener<Reply> {
		final List<Reply> replies = new ArrayList<>();
		final CompletableFuture<Status> ended = new CompletableFuture<>();
		final ClientCall<Request, Reply> call;
		Metadata initial = new Metadata();
		Metadata trailing = new Metadata();
		int turns;
		boolean cancels;

		Call(MethodDescriptor<Request, Reply> method, Metadata metadata, long timeoutMs) {
			call = channel.newCall(method,
					CallOptions.DEFAULT.withDeadlineAfter(timeoutMs, TimeUnit.MILLISECONDS));
			call.start(this, metadata);
			call.request(Integer.MAX_VALUE);
		}

		Call(MethodDescriptor<Request, Reply> method) {
			this(method, new Metadata(), TIMEOUT_MS);
		}

		Call send(Request... requests) {
			for (Request request : requests)
				call.sendMessage(request);
			return this;
		}

		Status end() {
			call.halfClose();
			return ended.join();
		}

		Reply good() throws Wrong {
			Status status = end();
			want(status.isOk() && replies.size() == 1, replies.size() + " replies, " + status);
			return replies.get(0);
		}

		@Override
		public void onHeaders(Metadata headers) {
			initial = headers;
		}

		@Override
		public void onMessage(Reply reply) {
			replies.add(reply);
			if (cancels)
				call.cancel("as the case says", null);
			else if (replies.size() < turns)
				call.sendMessage(Echo.request("message " + (replies.size() + 1)));
			else if (turns != 0)
				call.halfClose();
		}

		@Override
		public void onClose(Status status, Metadata trailers) {
			trailing = trailers;
			ended.complete(status);
		}
	}

	private static void unary() throws Wrong {
		Reply reply = new Call(Echo.UNARY).send(Echo.request("hello")).good();
		want(reply.getPayload().toStringUtf8().equals("hello") && reply.getReceived() == 1,
				reply.toString());
	}

	private static void empty() throws Wrong {
		want(new Call(Echo.UNARY).send(request(0).build()).good().getPayload().isEmpty(), "payload");
		Call call = new Call(Echo.BIDI);
		Status status = call.end();
		want(status.isOk() && call.replies.isEmpty(), "an empty stream ends with " + status);
	}

	private static void large() throws Wrong {
		Reply reply = new Call(Echo.UNARY).send(request(MEBI).build()).good();
		want(reply.getPayload().equals(payload(MEBI)), "other bytes came back");
	}

	private static void clientStream() throws Wrong {
		Request[] requests = new Request[20];
		Arrays.fill(requests, request(1000).build());
		Reply reply = new Call(Echo.CLIENT_STREAM).send(requests).good();
		want(reply.getReceived() == 20 && reply.getReceivedBytes() == 20000, reply.toString());
	}

	private static void serverStream(int count, int size) throws Wrong {
		Call call = new Call(Echo.SERVER_STREAM)
				.send(request(0).setReplyCount(count).setReplyBytes(size).build());
		Status status = call.end();
		want(status.isOk() && call.replies.size() == count, call.replies.size() + ", " + status);
	}

	private static void bidi() throws Wrong {
		Call call = new Call(Echo.BIDI);
		call.turns = 10;
		Status status = call.send(Echo.request("message 1")).ended.join();
		want(status.isOk() && call.replies.size() == 10, call.replies.size() + ", " + status);
		for (int i = 1; i <= 10; i++) {
			Reply reply = call.replies.get(i - 1);
			want(reply.getReceived() == i
					&& reply.getPayload().toStringUtf8().equals("message " + i), reply.toString());
		}
	}

	private static void metadata() throws Wrong {
		Metadata metadata = new Metadata();
		metadata.put(Echo.text("echo-a"), "one");
		metadata.put(Echo.binary("echo-b-bin"), BINARY);
		metadata.put(Echo.text("trail-a"), "two");
		metadata.put(Echo.binary("trail-b-bin"), BINARY);
		metadata.put(Echo.text("plain"), "three");
		Call call = new Call(Echo.UNARY, metadata, TIMEOUT_MS).send(request(0).build());
		Map<String, ByteString> seen = new LinkedHashMap<>();
		for (Pair pair : call.good().getMetadataList())
			seen.put(pair.getKey(), pair.getValue());
		want(ByteString.copyFromUtf8("three").equals(seen.get("plain"))
				&& ByteString.copyFrom(BINARY).equals(seen.get("echo-b-bin")), "saw " + seen);
		want("one".equals(call.initial.get(Echo.text("echo-a")))
				&& Arrays.equals(BINARY, call.initial.get(Echo.binary("echo-b-bin"))),
				"initial " + call.initial);
		want("two".equals(call.trailing.get(Echo.text("trail-a")))
				&& Arrays.equals(BINARY, call.trailing.get(Echo.binary("trail-b-bin"))),
				"trailing " + call.trailing);
	}

	private static void status() throws Wrong {
		Metadata metadata = new Metadata();
		metadata.put(Echo.binary("trail-b-bin"), BINARY);
		Call call = new Call(Echo.UNARY, metadata, TIMEOUT_MS)
				.send(request(0).setStatus(9).setMessage(MESSAGE).setFailFirst(true).build());
		Status status = call.end();
		want(status.getCode() == Status.Code.FAILED_PRECONDITION
				&& MESSAGE.equals(status.getDescription()), status.toString());
		want(Arrays.equals(BINARY, call.trailing.get(Echo.binary("trail-b-bin"))),
				"trailing " + call.trailing);
	}

	private static void statusAfterReplies() throws Wrong {
		Call call = new Call(Echo.SERVER_STREAM)
				.send(request(0).setReplyCount(3).setStatus(10).setMessage(MESSAGE).build());
		Status status = call.end();
		want(call.replies.size() == 3 && status.getCode() == Status.Code.ABORTED
				&& MESSAGE.equals(status.getDescription()), call.replies.size() + ", " + status);
	}

	private static void deadline() throws Wrong {
		long began = System.nanoTime();
		Status status = new Call(Echo.UNARY, new Metadata(), 300)
				.send(request(0).setSleepMs(5000).build()).end();
		want(status.getCode() == Status.Code.DEADLINE_EXCEEDED
				&& System.nanoTime() - began < 3_000_000_000L, status.toString());
	}

	private static void deadlineSeen() throws Wrong {
		double left = new Call(Echo.UNARY).send(request(0).build()).good().getTimeRemaining();
		want(left > 1 && left <= 30, "the server has " + left + " s");
	}

	private static void cancel() throws Wrong {
		Call call = new Call(Echo.BIDI);
		call.cancels = true;
		Status status = call.send(request(0).build()).ended.join();
		want(status.getCode() == Status.Code.CANCELLED && call.replies.size() == 1,
				status.toString());
	}

	private static void unimplemented() throws Wrong {
		for (String path : new String[] {"sluice.test.Echo/Missing", "sluice.test.Missing/Unary"}) {
			Status status = new Call(Echo.UNARY.toBuilder().setType(MethodType.UNARY)
					.setFullMethodName(path).build()).send(request(0).build()).end();
			want(status.getCode() == Status.Code.UNIMPLEMENTED, path + ": " + status);
		}
	}

	private static void many() throws Wrong {
		List<Call> calls = new ArrayList<>();
		for (int i = 0; i < 100; i++)
			calls.add(new Call(Echo.UNARY).send(request(1000).build()));
		for (Call call : calls)
			call.call.halfClose();
		for (Call call : calls)
			want(call.ended.join().isOk(), call.ended.join().toString());
	}

	public static void main(String[] arguments) throws Exception {
		Map<String, Case> cases = new LinkedHashMap<>();
		cases.put("unary", Client::unary);
		cases.put("empty", Client::empty);
		cases.put("large", Client::large);
		cases.put("client_stream", Client::clientStream);
		cases.put("server_stream", () -> serverStream(20, 1000));
		cases.put("large_stream", () -> serverStream(64, 65536));
		cases.put("bidi", Client::bidi);
		cases.put("metadata", Client::metadata);
		cases.put("status", Client::status);
		cases.put("status_after_replies", Client::statusAfterReplies);
		cases.put("deadline", Client::deadline);
		cases.put("deadline_seen", Client::deadlineSeen);
		cases.put("cancel", Client::cancel);
		cases.put("unimplemented", Client::unimplemented);
		cases.put("many", Client::many);

		channel = Echo.channel(arguments[0], arguments[1]);
		List<String> results = new ArrayList<>();
		for (Map.Entry<String, Case> each : cases.entrySet()) {
			String wrong = "";
			try {
				each.getValue().run();
			} catch (Exception e) {
				wrong = e.toString();
			}
			results.add(Echo.json(each.getKey()) + ": " + Echo.json(wrong));
		}
		channel.shutdownNow();
		System.out.println("{" + String.join(", ", results) + "}");
	}
}
