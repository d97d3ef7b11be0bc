// Package testservers starts private PostgreSQL and RabbitMQ servers for tests, from the programs that are on the
// machine, on free ports of the loopback address. Tests that stop, kill or pause a server start one of their own;
// all others share the pair that the command testservers/run starts and names in TEST_DATABASE_URL and
// TEST_RABBITMQ_URL. It knows nothing of the product and is no part of it. It works on Linux and macOS.
//
// A server ends with the process that started it, even when that is killed (on Linux; elsewhere only by Stop).
// The methods of one server must not be called at the same time.
package testservers
