package repository

import (
	"context"
	"time"

	"inventoryhub/internal/domain"
)

// Logins is the table of wrong passwords, by account and address.
type Logins struct{ table }

// Hold makes all other tries for an account wait until this transaction ends, also for one that has no row yet. SQLite has
// one writer, who has waited already.
func (t Logins) Hold(ctx context.Context, account string) error {
	if t.write.Name() == sqliteName {
		return nil
	}
	if err := t.write.WithContext(ctx).Exec("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", account).Error; err != nil {
		return fail("hold login failures", err)
	}
	return nil
}

// Failures gives the wrong passwords of an account from one address, and how many came from all others within the window.
func (t Logins) Failures(ctx context.Context, account, address string, now time.Time) (domain.LoginFailures, int, error) {
	var rows []domain.LoginFailures
	err := t.write.WithContext(ctx).Where("account = ? AND (address = ? OR last_failed_at > ?)", account, address, now.Add(-domain.FailureWindow)).Find(&rows).Error
	if err != nil {
		return domain.LoginFailures{}, 0, fail("load login failures", err)
	}
	own, others := domain.LoginFailures{Account: account, Address: address}, 0
	for _, r := range rows {
		if r.Address == address {
			own = r
		} else {
			others += r.Failures
		}
	}
	return own, others, nil
}

// Failed counts one more wrong password.
func (t Logins) Failed(ctx context.Context, account, address string, now time.Time) error {
	err := t.write.WithContext(ctx).Exec(`INSERT INTO login_failures (account, address, failures, last_failed_at) VALUES (?, ?, 1, ?)
		ON CONFLICT (account, address) DO UPDATE SET
			failures = CASE WHEN login_failures.last_failed_at > ? THEN login_failures.failures + 1 ELSE 1 END, last_failed_at = excluded.last_failed_at`,
		account, address, now, now.Add(-domain.FailureWindow)).Error
	if err != nil {
		return fail("count login failure", err)
	}
	return nil
}

// Succeeded forgets the wrong passwords from the address and remembers it as the owner's.
func (t Logins) Succeeded(ctx context.Context, account, address string, now time.Time) error {
	err := t.write.WithContext(ctx).Exec(`INSERT INTO login_failures (account, address, failures, last_failed_at, known_until) VALUES (?, ?, 0, ?, ?)
		ON CONFLICT (account, address) DO UPDATE SET failures = 0, known_until = excluded.known_until`,
		account, address, now, now.Add(domain.KnownAddressTTL)).Error
	if err != nil {
		return fail("forget login failures", err)
	}
	return nil
}

// Purge removes what no longer counts.
func (t Logins) Purge(ctx context.Context, now time.Time) error {
	err := t.write.WithContext(ctx).Where("last_failed_at < ? AND (known_until IS NULL OR known_until < ?)", now.Add(-domain.FailureWindow), now).
		Delete(&domain.LoginFailures{}).Error
	if err != nil {
		return fail("purge login failures", err)
	}
	return nil
}
