// SPDX-License-Identifier: MIT
//
// load.js TARGET CA SECONDS - a steady load of unary calls and short bidirectional streams; at the
// end one line of JSON: {"ok": N, "failed": N, "errors": {"CODE: text": N}}.
'use strict';
const {newClient} = require('./echo.js');

const CONNECTIONS = 2, UNARY = 4, STREAMS = 1, MESSAGES = 10, PAUSE_MS = 5, TIMEOUT_MS = 20000;
const [target, ca, seconds] = process.argv.slice(2);
const report = {ok: 0, failed: 0, errors: {}};
const end = Date.now() + Number(seconds) * 1000;

function failed(error) {
	const what = `${error.code}: ${error.details || error.message}`;
	report.failed++;
	report.errors[what] = (report.errors[what] || 0) + 1;
}

function unary(client) {
	return new Promise((done) => {
		client.Unary({payload: Buffer.from('load')}, {deadline: Date.now() + TIMEOUT_MS}, (error) => {
			if (error)
				failed(error);
			else
				report.ok++;
			done();
		});
	});
}

function stream(client) {
	return new Promise((done) => {
		const call = client.Bidi({deadline: Date.now() + TIMEOUT_MS});
		let received = 0, error = null;
		call.on('data', () => {
			if (++received === MESSAGES)
				call.end();
			else
				setTimeout(() => call.write({payload: Buffer.from('load')}), PAUSE_MS);
		});
		call.on('error', (e) => { error = e; });
		call.on('status', (status) => {
			if (status.code !== 0)
				failed(error || status);
			else if (received !== MESSAGES)
				failed({code: -1, details: `${received} of ${MESSAGES} replies`});
			else
				report.ok++;
			done();
		});
		call.write({payload: Buffer.from('load')});
	});
}

async function work(client, call) {
	while (Date.now() < end) {
		await call(client);
		await new Promise((done) => setTimeout(done, PAUSE_MS));
	}
}

async function main() {
	const clients = Array.from({length: CONNECTIONS}, () => newClient(target, ca));
	const jobs = clients.flatMap((client) => [
		...Array.from({length: UNARY}, () => work(client, unary)),
		...Array.from({length: STREAMS}, () => work(client, stream))]);
	await Promise.all(jobs);
	clients.forEach((client) => client.close());
	console.log(JSON.stringify(report));
}

main();
