package testservers

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

//go:embed install.sh
var installScript string

// Program is a program that tests run, by the name of its Debian package.
type Program string

// The programs of the servers.
const (
	PostgreSQLServer Program = "postgresql"
	RabbitMQServer   Program = "rabbitmq-server"
)

// Installed reports whether the program is on the machine.
func (p Program) Installed() bool {
	var err error
	switch p {
	case PostgreSQLServer:
		_, err = findPostgres()
	case RabbitMQServer:
		_, err = findRabbitMQ()
	default:
		_, err = exec.LookPath(string(p))
	}
	return err == nil
}

// Install brings those of the programs that are missing with Debian's apt-get, as root or through a sudo that asks
// for no password, and says so on log. It starts no service. When all are there it does nothing. It returns an error
// when something is missing and cannot be installed.
func Install(log io.Writer, programs ...Program) error {
	missing := slices.DeleteFunc(slices.Clone(programs), Program.Installed)
	if len(missing) == 0 {
		return nil
	}
	shell, err := rootShell()
	if err != nil {
		return fmt.Errorf("cannot install %s: %w", missing, err)
	}
	fmt.Fprintf(log, "testservers: installing %s with apt-get, which can take a minute\n", missing)
	command := append(shell, "-c", installScript, "install.sh")
	for _, p := range missing {
		command = append(command, string(p))
	}
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("install %s: %w\n%s", missing, err, out)
	}
	return nil
}

// rootShell returns the words of a command that runs a shell as root, on a machine with apt-get.
func rootShell() ([]string, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, errors.New("this machine has no apt-get")
	}
	if os.Geteuid() == 0 {
		return []string{"sh"}, nil
	}
	if err := exec.Command("sudo", "-n", "true").Run(); err != nil {
		return nil, errors.New("only root can, and sudo asks for a password or is missing")
	}
	return []string{"sudo", "-n", "sh"}, nil
}
