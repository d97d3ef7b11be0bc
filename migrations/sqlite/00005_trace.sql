-- +goose Up

ALTER TABLE outbox ADD COLUMN trace_parent TEXT;

-- +goose Down

ALTER TABLE outbox DROP COLUMN trace_parent;
