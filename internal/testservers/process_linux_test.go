package testservers

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With this variable set, the test program is the parent that TestServersEndWithTheirParent kills. It names the
// folder for the servers.
const parentVariable = "TESTSERVERS_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		parent(dir)
	}
	os.Exit(m.Run())
}

// parent starts both servers, prints the ids of their processes and waits for its end.
func parent(dir string) {
	database, err := StartPostgres(dir + "/postgres")
	if err != nil {
		panic(err)
	}
	broker, err := StartRabbitMQ(dir + "/rabbitmq")
	if err != nil {
		panic(err)
	}
	pids := append(database.process.tree(), append(broker.node.tree(), broker.epmd.tree()...)...)
	if err := json.NewEncoder(os.Stdout).Encode(pids); err != nil {
		panic(err)
	}
	select {}
}

func TestServersEndWithTheirParent(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/postgres", 0o700))
	require.NoError(t, os.Mkdir(dir+"/rabbitmq", 0o700))
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), parentVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	var pids []int
	require.NoError(t, json.NewDecoder(out).Decode(&pids))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool {
		running := processes()
		for _, pid := range pids {
			if _, ok := running[pid]; ok {
				return false
			}
		}
		return true
	}, 10*time.Second, 10*time.Millisecond)
}
