// Package attacks holds tests that see the server as an attacker does: they start the program itself, on SQLite and on
// Postgres, and speak to it through sockets alone. Beside it they read what an operator would read: the mails, and the log.
//
// Each kind of attack is one file, and each attack a subtest:
//
//	go test ./attacks
//	go test ./attacks -run 'TestAttacks/sqlite/tokens'
//	go test ./attacks -v | grep -c '^ \{12,\}--- PASS' # how many there are, on both databases together
//
// Whatever the subject of a case, every answer is held to what is promised for all of them: no failure of the server, the one shape of
// errors, the headers that keep a browser from harm, and nothing of what is inside. That nothing changed is seen by reading before and
// after; that nothing leaked, by reading the log when all is over.
package attacks
