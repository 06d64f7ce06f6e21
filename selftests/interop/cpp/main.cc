// SPDX-License-Identifier: MIT
//
// grpc++'s program of the interoperability tests: server ADDRESS, client TARGET CA, or
// load TARGET CA SECONDS. One program, as linking is what takes long.
#include <iostream>

#include "tools.h"

int main(int argc, char **argv)
{
	std::string what = argc > 1 ? argv[1] : "";

	if (what == "server" && argc == 3)
		return server(argv[2]);
	if (what == "client" && argc == 4)
		return client(argv[2], argv[3]);
	if (what == "load" && argc == 5)
		return load(argv[2], argv[3], std::stod(argv[4]));
	std::cerr << "echo server ADDRESS | client TARGET CA | load TARGET CA SECONDS\n";
	return 2;
}
