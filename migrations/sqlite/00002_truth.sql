-- +goose Up

-- One request under an Idempotency-Key. result_id is written by the transaction that made the result, so that the key
-- knows of it whatever happens before the answer is kept.
CREATE TABLE attempts (
    user_id     TEXT NOT NULL REFERENCES users (id),
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    claim_id    TEXT NOT NULL,
    lease_until DATETIME NOT NULL,
    result_id   TEXT,
    status      INTEGER,
    headers     TEXT NOT NULL,
    body        TEXT NOT NULL,
    created_at  DATETIME NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX attempts_created_at ON attempts (created_at);

-- Who did what to what. Each row holds the hash of itself and the one before.
CREATE TABLE audit_log (
    seq         INTEGER NOT NULL PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    created_at  DATETIME NOT NULL,
    user_id     TEXT REFERENCES users (id),
    action      TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target      TEXT NOT NULL,
    address     TEXT NOT NULL,
    details     TEXT NOT NULL,
    hash        TEXT NOT NULL
);
CREATE INDEX audit_log_user_id ON audit_log (user_id, seq);
CREATE INDEX audit_log_action ON audit_log (action, seq);
CREATE INDEX audit_log_target ON audit_log (target, seq);
CREATE INDEX audit_log_created_at ON audit_log (created_at);

-- The end of the chain: whoever adds a row holds this one until the end of the transaction.
CREATE TABLE audit_head (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');

-- What happened is never changed.
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER movements_no_update BEFORE UPDATE ON movements BEGIN
    SELECT RAISE(ABORT, 'movements is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER movements_no_delete BEFORE DELETE ON movements BEGIN
    SELECT RAISE(ABORT, 'movements is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER order_steps_no_update BEFORE UPDATE ON order_steps BEGIN
    SELECT RAISE(ABORT, 'order_steps is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER order_steps_no_delete BEFORE DELETE ON order_steps BEGIN
    SELECT RAISE(ABORT, 'order_steps is append-only');
END;
-- +goose StatementEnd

-- +goose Down

DROP TRIGGER audit_log_no_update;
DROP TRIGGER audit_log_no_delete;
DROP TRIGGER movements_no_update;
DROP TRIGGER movements_no_delete;
DROP TRIGGER order_steps_no_update;
DROP TRIGGER order_steps_no_delete;
DROP TABLE audit_head;
DROP TABLE audit_log;
DROP TABLE attempts;
