package testservers

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The images for machines on which the programs cannot be installed.
const (
	postgresImage = "postgres:17-alpine"
	rabbitMQImage = "rabbitmq:4.1-alpine"
)

// Container is a server in a Docker container, for machines on which the programs cannot be installed. It can only
// be stopped: tests that kill, pause or restart a server need [StartPostgres] or [StartRabbitMQ].
type Container struct {
	url    string
	client *process // docker run, which hands signals on to the server and ends with it
}

// DockerWorks reports whether this machine has a Docker client that reaches its engine.
func DockerWorks() bool {
	return exec.Command("docker", "info").Run() == nil
}

// StartPostgresContainer starts PostgreSQL in a container, on a free port of the loopback address, and writes its log
// to a file in the folder dir. Docker downloads the image when it does not have it. The caller must Stop the server.
func StartPostgresContainer(dir string) (*Container, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	url := postgresURL(port, password)
	// Through the environment, because all users of the machine can read the arguments of a command.
	env := append(os.Environ(), "POSTGRES_PASSWORD="+password)
	return startContainer(dir, url, pingPostgres, env,
		"--publish", address(port)+":5432", "--env", "POSTGRES_PASSWORD", postgresImage,
		"-c", "max_connections=300", "-c", "timezone=UTC", "-c", "fsync=off")
}

// StartRabbitMQContainer starts RabbitMQ in a container, as [StartPostgresContainer] does with PostgreSQL.
func StartRabbitMQContainer(dir string) (*Container, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return startContainer(dir, rabbitMQURL(port), pingRabbitMQ, os.Environ(),
		"--publish", address(port)+":5672", rabbitMQImage)
}

// URL is the address of the server, as that of [Postgres] or [RabbitMQ].
func (c *Container) URL() string { return c.url }

// Stop shuts the server down and removes the container with its data.
func (c *Container) Stop() { c.client.stop(syscall.SIGINT, 30*time.Second) }

// startContainer runs docker with the arguments that follow "run" and waits until the server behind the URL answers.
func startContainer(
	dir, url string, ping func(context.Context, string) error, env []string, args ...string,
) (*Container, error) {
	cmd := exec.Command("docker", append([]string{"run", "--rm"}, args...)...)
	cmd.Env = env
	client, err := startProcess(cmd, filepath.Join(dir, "docker.log"), syscall.SIGINT)
	if err != nil {
		return nil, fmt.Errorf("docker run: %w", err)
	}
	container := &Container{url: url, client: client}
	const patience = 5 * time.Minute // the download included
	if err := client.waitReady(patience, func(ctx context.Context) error { return ping(ctx, url) }); err != nil {
		container.Stop()
		return nil, err
	}
	return container, nil
}
