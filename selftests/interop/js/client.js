// SPDX-License-Identifier: MIT
//
// client.js TARGET CA - calls the Echo service in every way (../README.md has the cases), and
// prints one line of JSON: {"CASE": "" or what went wrong}.
'use strict';
const {grpc, newClient} = require('./echo.js');

const MESSAGE = '50% of "it" failed: é, 日本, \ttab';
const BINARY = Buffer.from([0, 1, 2, 127, 128, 255]);
const MEBI = 1 << 20, TIMEOUT_MS = 20000;
const [target, ca] = process.argv.slice(2);
const client = newClient(target, ca);

function options(milliseconds) {
	return {deadline: Date.now() + (milliseconds || TIMEOUT_MS)};
}

function payload(size) {
	return Buffer.alloc(size, 'x');
}

function want(good, otherwise) {
	if (!good)
		throw new Error(otherwise);
}

// A unary call's outcome: {error, reply, initial, trailing}.
function unary(request, metadata, milliseconds) {
	return new Promise((done) => {
		const outcome = {};
		const call = client.Unary(request, metadata || new grpc.Metadata(),
			options(milliseconds), (error, reply) => Object.assign(outcome, {error, reply}));
		call.on('metadata', (initial) => { outcome.initial = initial; });
		call.on('status', (status) => {
			outcome.status = status;
			outcome.trailing = status.metadata;
			setImmediate(() => done(outcome));
		});
	});
}

// Reads a stream to its end: {received, status}.
function drain(call, onReply) {
	return new Promise((done) => {
		let received = 0;
		call.on('data', () => {
			received++;
			if (onReply)
				onReply();
		});
		call.on('error', () => {});
		call.on('status', (status) => done({received, status}));
	});
}

function serverStream(request) {
	return drain(client.ServerStream(request, options()));
}

function good(outcome) {
	want(!outcome.error, `${outcome.error}`);
	return outcome.reply;
}

const cases = {
	async unary() {
		const reply = good(await unary({payload: Buffer.from('hello')}));
		want(String(reply.payload) === 'hello' && reply.received === 1, JSON.stringify(reply));
	},

	async empty() {
		want(good(await unary({})).payload.length === 0, 'a payload');
		const call = client.Bidi(options());
		const end = drain(call);
		call.end();
		const {received, status} = await end;
		want(received === 0 && status.code === 0, `an empty stream ends with ${status.code}`);
	},

	async large() {
		const reply = good(await unary({payload: payload(MEBI)}));
		want(reply.payload.equals(payload(MEBI)), `${reply.payload.length} bytes came back`);
	},

	async client_stream() {
		const reply = await new Promise((done, fail) => {
			const call = client.ClientStream(options(), (e, r) => e ? fail(e) : done(r));
			for (let i = 0; i < 20; i++)
				call.write({payload: payload(1000)});
			call.end();
		});
		want(reply.received === 20 && reply.received_bytes === 20000, JSON.stringify(reply));
	},

	async server_stream() {
		const {received, status} = await serverStream({reply_count: 20, reply_bytes: 1000});
		want(received === 20 && status.code === 0, `${received}, ${status.code} ${status.details}`);
	},

	async large_stream() {
		const {received, status} = await serverStream({reply_count: 64, reply_bytes: 65536});
		want(received === 64 && status.code === 0, `${received}, ${status.code} ${status.details}`);
	},

	async bidi() {
		const call = client.Bidi(options());
		let wrong = '', next = 1;
		const send = () => call.write({payload: Buffer.from(`message ${next}`)});
		call.on('data', (reply) => {
			if (String(reply.payload) !== `message ${next}` || reply.received !== next)
				wrong = `reply ${next}: ${JSON.stringify(reply)}`;
			if (++next <= 10)
				send();
			else
				call.end();
		});
		send();
		const {status} = await drain(call);
		want(!wrong && next === 11 && status.code === 0, wrong || `${next}, ${status.code}`);
	},

	async metadata() {
		const metadata = new grpc.Metadata();
		metadata.add('echo-a', 'one');
		metadata.add('echo-b-bin', BINARY);
		metadata.add('trail-a', 'two');
		metadata.add('trail-b-bin', BINARY);
		metadata.add('plain', 'three');
		const outcome = await unary({}, metadata);
		const seen = Object.fromEntries(good(outcome).metadata.map((p) => [p.key, p.value]));
		want(String(seen.plain) === 'three' && BINARY.equals(seen['echo-b-bin']), 'the server saw other');
		want(String(outcome.initial.get('echo-a')) === 'one' &&
			BINARY.equals(outcome.initial.get('echo-b-bin')[0]), 'initial metadata');
		want(String(outcome.trailing.get('trail-a')) === 'two' &&
			BINARY.equals(outcome.trailing.get('trail-b-bin')[0]), 'trailing metadata');
	},

	async status() {
		const metadata = new grpc.Metadata();
		metadata.add('trail-b-bin', BINARY);
		const {status, trailing} = await unary({status: 9, message: MESSAGE, fail_first: true}, metadata);
		want(status.code === 9 && status.details === MESSAGE, `${status.code} ${status.details}`);
		want(BINARY.equals(trailing.get('trail-b-bin')[0]), 'trailing metadata');
	},

	async status_after_replies() {
		const {received, status} = await serverStream({reply_count: 3, status: 10, message: MESSAGE});
		want(received === 3 && status.code === 10 && status.details === MESSAGE,
			`${received}, ${status.code} ${status.details}`);
	},

	async deadline() {
		const began = Date.now();
		const {status} = await unary({sleep_ms: 5000}, null, 300);
		want(status.code === 4 && Date.now() - began < 3000, `${status.code} ${status.details}`);
	},

	async deadline_seen() {
		const left = good(await unary({})).time_remaining;
		want(left > 1 && left <= 30, `the server has ${left} s`);
	},

	async cancel() {
		const call = client.Bidi(options());
		const end = drain(call, () => call.cancel());
		call.write({});
		const {status} = await end;
		want(status.code === 1, `${status.code} ${status.details}`);
	},

	async unimplemented() {
		const write = (request) => Buffer.alloc(0);
		for (const path of ['/sluice.test.Echo/Missing', '/sluice.test.Missing/Unary']) {
			const code = await new Promise((done) => client.makeUnaryRequest(path, write, (b) => b, {},
				options(), (error) => done(error ? error.code : 0)));
			want(code === 12, `${path}: ${code}`);
		}
	},

	async many() {
		const request = {payload: payload(1000)};
		(await Promise.all(Array.from({length: 100}, () => unary(request)))).forEach(good);
	},
};

async function main() {
	const results = {};
	for (const [name, run] of Object.entries(cases))
		results[name] = await run().then(() => '', (error) => error.message || String(error));
	client.close();
	console.log(JSON.stringify(results));
}

main();
