// SPDX-License-Identifier: MIT
//
// The Echo service's methods (echo.proto) and a client's way to it. Written by hand, so that no
// generator of grpc-java's is needed beside protoc.

import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.lite.ProtoLiteUtils;
import java.io.File;
import sluice.test.EchoOuterClass.Reply;
import sluice.test.EchoOuterClass.Request;

final class Echo {
	static final String SERVICE = "sluice.test.Echo";
	static final MethodDescriptor<Request, Reply> UNARY = method("Unary", MethodType.UNARY);
	static final MethodDescriptor<Request, Reply> CLIENT_STREAM =
			method("ClientStream", MethodType.CLIENT_STREAMING);
	static final MethodDescriptor<Request, Reply> SERVER_STREAM =
			method("ServerStream", MethodType.SERVER_STREAMING);
	static final MethodDescriptor<Request, Reply> BIDI = method("Bidi", MethodType.BIDI_STREAMING);

	private Echo() {
	}

	static MethodDescriptor<Request, Reply> method(String name, MethodType type) {
		return MethodDescriptor.<Request, Reply>newBuilder()
				.setType(type)
				.setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name))
				.setRequestMarshaller(ProtoLiteUtils.marshaller(Request.getDefaultInstance()))
				.setResponseMarshaller(ProtoLiteUtils.marshaller(Reply.getDefaultInstance()))
				.build();
	}

	/** TLS by the CA's PEM, the certificate's name being sluice.test; "-" for the CA is cleartext. */
	static ManagedChannel channel(String target, String ca) throws Exception {
		NettyChannelBuilder builder = NettyChannelBuilder.forTarget(target)
				.maxInboundMessageSize(Integer.MAX_VALUE);
		if (ca.equals("-"))
			return builder.usePlaintext().build();
		return builder.overrideAuthority("sluice.test")
				.sslContext(GrpcSslContexts.forClient().trustManager(new File(ca)).build())
				.build();
	}

	static Metadata.Key<String> text(String name) {
		return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
	}

	static Metadata.Key<byte[]> binary(String name) {
		return Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER);
	}

	/** Adds what `from` has under keys that begin with the prefix. */
	static void select(Metadata from, String prefix, Metadata to) {
		for (String name : from.keys()) {
			if (!name.startsWith(prefix))
				continue;
			if (name.endsWith(Metadata.BINARY_HEADER_SUFFIX))
				for (byte[] value : from.getAll(binary(name)))
					to.put(binary(name), value);
			else
				for (String value : from.getAll(text(name)))
					to.put(text(name), value);
		}
	}

	static Request request(String payload) {
		return Request.newBuilder()
				.setPayload(com.google.protobuf.ByteString.copyFromUtf8(payload)).build();
	}

	/** A text as JSON, in ASCII. */
	static String json(String text) {
		StringBuilder out = new StringBuilder("\"");
		for (char c : text.toCharArray())
			if (c == '"' || c == '\\')
				out.append('\\').append(c);
			else if (c < ' ' || c > '~')
				out.append(String.format("\\u%04x", (int) c));
			else
				out.append(c);
		return out.append('"').toString();
	}
}
