-- +goose Up

-- One request under an Idempotency-Key. result_id is written by the transaction that made the result, so that the key
-- knows of it whatever happens before the answer is kept.
CREATE TABLE attempts (
    user_id     uuid NOT NULL REFERENCES users (id),
    key         text NOT NULL,
    fingerprint text NOT NULL,
    claim_id    uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    result_id   uuid,
    status      bigint,
    headers     text NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX attempts_created_at ON attempts (created_at);

-- Who did what to what. Each row holds the hash of itself and the one before.
CREATE TABLE audit_log (
    seq         bigint NOT NULL PRIMARY KEY,
    id          uuid NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL,
    user_id     uuid REFERENCES users (id),
    action      text NOT NULL,
    target_kind text NOT NULL,
    target      text NOT NULL,
    address     text NOT NULL,
    details     text NOT NULL,
    hash        text NOT NULL
);
CREATE INDEX audit_log_user_id ON audit_log (user_id, seq);
CREATE INDEX audit_log_action ON audit_log (action, seq);
CREATE INDEX audit_log_target ON audit_log (target, seq);
CREATE INDEX audit_log_created_at ON audit_log (created_at);

-- The end of the chain: whoever adds a row holds this one until the end of the transaction.
CREATE TABLE audit_head (
    id   bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');

-- What happened is never changed.
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER movements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER order_steps_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_steps FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose Down

DROP TRIGGER audit_log_append_only ON audit_log;
DROP TRIGGER movements_append_only ON movements;
DROP TRIGGER order_steps_append_only ON order_steps;
DROP FUNCTION refuse_change();
DROP TABLE audit_head;
DROP TABLE audit_log;
DROP TABLE attempts;
