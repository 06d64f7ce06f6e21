/* SPDX-License-Identifier: MIT */
/*
 * tools.h - what grpc++'s server, client and load have in common: their entry points, called by
 * main.cc with what follows their names, and a client's way to the balancer.
 */
#ifndef TOOLS_H
#define TOOLS_H

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

int server(const std::string &address);
int client(const std::string &target, const std::string &ca);
int load(const std::string &target, const std::string &ca, double seconds);

/* TLS by the CA's PEM, the certificate's name being sluice.test; "-" for the CA is cleartext. */
inline std::shared_ptr<grpc::Channel> new_channel(const std::string &target, const std::string &ca)
{
	grpc::ChannelArguments arguments;

	arguments.SetMaxReceiveMessageSize(-1);
	arguments.SetMaxSendMessageSize(-1);
	arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
	if (ca == "-")
		return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
	std::ostringstream pem;
	pem << std::ifstream(ca).rdbuf();
	grpc::SslCredentialsOptions options;
	options.pem_root_certs = pem.str();
	arguments.SetSslTargetNameOverride("sluice.test");
	return grpc::CreateCustomChannel(target, grpc::SslCredentials(options), arguments);
}

/* A text as JSON. */
inline std::string json(const std::string &text)
{
	std::ostringstream out;

	out << '"';
	for (unsigned char c : text) {
		if (c == '"' || c == '\\')
			out << '\\' << c;
		else if (c < ' ' || c > '~')
			out << "\\u00" << "0123456789abcdef"[c >> 4] << "0123456789abcdef"[c & 15];
		else
			out << c;
	}
	out << '"';
	return out.str();
}

inline std::string say(const grpc::Status &status)
{
	return std::to_string(status.error_code()) + ": " + status.error_message();
}

#endif
