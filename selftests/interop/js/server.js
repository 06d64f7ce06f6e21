// SPDX-License-Identifier: MIT
//
// server.js ADDRESS - grpc-js as a backend: Echo (echo.proto) and grpc.health.v1 on cleartext
// HTTP/2. Ends with its standard input, so that none outlives a test run.
'use strict';
const {grpc, load, Echo} = require('./echo.js');

const Health = load('health.proto').grpc.health.v1.Health;

function pairs(metadata) {
	const result = [];
	for (const key of Object.keys(metadata.getMap()))
		for (const value of metadata.get(key))
			result.push({key, value: Buffer.from(value)});
	return result;
}

// Metadata keys that begin so, as metadata of their own.
function select(metadata, prefix) {
	const result = new grpc.Metadata();
	for (const key of Object.keys(metadata.getMap()).filter((k) => k.startsWith(prefix)))
		for (const value of metadata.get(key))
			result.add(key, value);
	return result;
}

function reply(call, request, received, size) {
	const deadline = call.getDeadline();
	const left = deadline === Infinity ? 0 : (deadline - Date.now()) / 1000;
	return {
		payload: request.reply_bytes ? Buffer.alloc(request.reply_bytes) : request.payload,
		backend: 'js', received, received_bytes: size, metadata: pairs(call.metadata),
		peer: call.getPeer(), time_remaining: left > 0 && left < 1e8 ? left : 0,
	};
}

function failure(request, trailers) {
	return {code: request.status, details: request.message, metadata: trailers};
}

function pause(request) {
	return new Promise((done) => setTimeout(done, request.sleep_ms || 0));
}

function begin(call) {
	call.sendMetadata(select(call.metadata, 'echo-'));
	return select(call.metadata, 'trail-');
}

const echo = {
	async Unary(call, callback) {
		const request = call.request;
		const trailers = select(call.metadata, 'trail-');
		await pause(request);
		if (request.status) {
			callback(failure(request, trailers));
			return;
		}
		begin(call);
		callback(null, reply(call, request, 1, request.payload.length), trailers);
	},

	ClientStream(call, callback) {
		const trailers = begin(call);
		let received = 0, size = 0, last = {payload: Buffer.alloc(0)};
		call.on('data', (request) => {
			received++;
			size += request.payload.length;
			last = request;
		});
		call.on('end', () => {
			if (last.status)
				callback(failure(last, trailers));
			else
				callback(null, reply(call, last, received, size), trailers);
		});
	},

	async ServerStream(call) {
		const request = call.request;
		const trailers = begin(call);
		for (let i = 0; i < request.reply_count && !call.cancelled; i++) {
			await pause(request);
			if (!call.write(reply(call, request, 1, request.payload.length)))
				await new Promise((done) => { call.once('drain', done); call.once('cancelled', done); });
		}
		if (request.status)
			call.emit('error', failure(request, trailers));
		else
			call.end(trailers);
	},

	Bidi(call) {
		const trailers = begin(call);
		let received = 0, size = 0, turn = Promise.resolve(), failed = false;
		call.on('data', (request) => {
			turn = turn.then(async () => {
				await pause(request);
				size += request.payload.length;
				if (request.status) {
					failed = true;
					call.emit('error', failure(request, trailers));
				} else if (!failed) {
					call.write(reply(call, request, ++received, size));
				}
			});
		});
		call.on('end', () => turn.then(() => failed || call.end(trailers)));
	},
};

const health = {
	Check(call, callback) {
		callback(null, {status: 'SERVING'});
	},
};

const server = new grpc.Server({'grpc.max_receive_message_length': -1});
server.addService(Echo.service, echo);
server.addService(Health.service, health);
server.bindAsync(process.argv[2], grpc.ServerCredentials.createInsecure(), (error) => {
	if (error)
		throw error;
});
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
