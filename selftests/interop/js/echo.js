// SPDX-License-Identifier: MIT
//
// The Echo service's definition and the ways of a client to it, for client.js, load.js, server.js.
'use strict';
const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const PROTO = process.env.SLUICE_PROTO || path.join(__dirname, '../../e2e/proto');

function load(file) {
	const definition = loader.loadSync(path.join(PROTO, file),
		{keepCase: true, longs: Number, defaults: true});
	return grpc.loadPackageDefinition(definition);
}

const Echo = load('echo.proto').sluice.test.Echo;

// TLS by the CA's PEM, the certificate's name being sluice.test; `-` for the CA is cleartext.
function newClient(target, ca) {
	const options = {'grpc.max_receive_message_length': -1,
		// Clients of one process must not share a connection.
		'grpc.use_local_subchannel_pool': 1};
	if (ca === '-')
		return new Echo(target, grpc.credentials.createInsecure(), options);
	options['grpc.ssl_target_name_override'] = 'sluice.test';
	options['grpc.default_authority'] = 'sluice.test';
	return new Echo(target, grpc.credentials.createSsl(fs.readFileSync(ca)), options);
}

module.exports = {grpc, load, Echo, newClient};
