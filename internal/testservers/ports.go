package testservers

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

const loopback = "127.0.0.1"

// freePort returns a port on which nothing listens. It lies below those that Linux gives to outgoing connections
// (from 32768 up), so that it is still free when a stopped server comes back to it.
func freePort() (int, error) {
	const lowest, highest, tries = 20000, 32000, 100
	for range tries {
		port := lowest + rand.IntN(highest-lowest)
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port between 20000 and 32000")
}

// address returns the loopback address with the port.
func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
