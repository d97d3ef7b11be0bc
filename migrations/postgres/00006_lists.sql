-- +goose Up

-- How many products and orders there are, for the totals of lists: counting a million takes longer than reading a page of them.
CREATE TABLE product_counts (
    category_id uuid PRIMARY KEY REFERENCES categories (id),
    n           bigint NOT NULL CHECK (n >= 0)
);
CREATE TABLE order_counts (
    state text PRIMARY KEY,
    n     bigint NOT NULL CHECK (n >= 0)
);
INSERT INTO product_counts (category_id, n) SELECT category_id, COUNT(*) FROM products WHERE deleted_at IS NULL GROUP BY category_id;
INSERT INTO order_counts (state, n) SELECT state, COUNT(*) FROM orders WHERE deleted_at IS NULL GROUP BY state;

-- What a transaction changes is gathered in a setting that ends with it, goes back with its savepoints, and costs no row. It is written when the
-- transaction commits: a row of these tables is held for that moment alone, however long the transaction was, and whoever holds one waits for
-- nothing but the next of them in their order.
-- +goose StatementBegin
CREATE FUNCTION gather_count(of_what text, key text, change bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gathered jsonb := COALESCE(NULLIF(current_setting('inventoryhub.counts', true), ''), '{}')::jsonb;
    name     text  := of_what || ' ' || key;
BEGIN
    PERFORM set_config('inventoryhub.counts', (gathered || jsonb_build_object(name, COALESCE((gathered ->> name)::bigint, 0) + change))::text, true);
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION write_counts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gathered text := current_setting('inventoryhub.counts', true);
    changed  record;
BEGIN
    IF gathered IS NULL OR gathered = '' THEN -- written for an earlier row of this transaction
        RETURN NULL;
    END IF;
    PERFORM set_config('inventoryhub.counts', '', true);
    FOR changed IN
        SELECT split_part(key, ' ', 1) AS of_what, split_part(key, ' ', 2) AS key, value::bigint AS change
        FROM jsonb_each_text(gathered::jsonb) WHERE value <> '0' ORDER BY 1, 2
    LOOP
        IF changed.of_what = 'texts' THEN
            INSERT INTO text_changes AS c (texts, n) VALUES (changed.key, changed.change) ON CONFLICT (texts) DO UPDATE SET n = c.n + excluded.n;
        ELSIF changed.of_what = 'orders' THEN
            UPDATE order_counts SET n = n + changed.change WHERE state = changed.key;
            IF NOT FOUND THEN
                INSERT INTO order_counts AS c (state, n) VALUES (changed.key, changed.change) ON CONFLICT (state) DO UPDATE SET n = c.n + excluded.n;
            END IF;
        ELSE
            UPDATE product_counts SET n = n + changed.change WHERE category_id = changed.key::uuid;
            IF NOT FOUND THEN
                INSERT INTO product_counts AS c (category_id, n) VALUES (changed.key::uuid, changed.change) ON CONFLICT (category_id) DO UPDATE SET n = c.n + excluded.n;
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Rows are counted once a statement. Products are changed far more often in their stock than in what is counted, so their changes are looked at
-- row by row, which costs nothing where the columns are not named.
-- +goose StatementBegin
CREATE FUNCTION count_products() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
        PERFORM gather_count('products', category_id::text, COUNT(*)) FROM added WHERE deleted_at IS NULL GROUP BY category_id;
        RETURN NULL;
    END IF;
    PERFORM gather_count('texts', 'products', 1);
    IF OLD.deleted_at IS NULL THEN
        PERFORM gather_count('products', OLD.category_id::text, -1);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.deleted_at IS NULL THEN
        PERFORM gather_count('products', NEW.category_id::text, 1);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER products_count_added AFTER INSERT ON products REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_products();
CREATE TRIGGER products_count_changed AFTER UPDATE OF category_id, deleted_at ON products FOR EACH ROW
    WHEN (OLD.category_id <> NEW.category_id OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION count_products();
CREATE TRIGGER products_count_removed AFTER DELETE ON products FOR EACH ROW EXECUTE FUNCTION count_products();
CREATE CONSTRAINT TRIGGER products_count_write AFTER INSERT OR DELETE ON products DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION write_counts();
CREATE CONSTRAINT TRIGGER products_count_write_changed AFTER UPDATE OF category_id, search_key, deleted_at ON products DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.category_id <> NEW.category_id OR OLD.search_key <> NEW.search_key OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION write_counts();

-- +goose StatementBegin
CREATE FUNCTION count_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        PERFORM gather_count('orders', state, COUNT(*)) FROM added WHERE deleted_at IS NULL GROUP BY state;
    WHEN 'UPDATE' THEN
        PERFORM gather_count('orders', state, SUM(change)::bigint)
        FROM (SELECT state, -1 AS change FROM removed WHERE deleted_at IS NULL UNION ALL SELECT state, 1 FROM added WHERE deleted_at IS NULL) both_sides
        GROUP BY state HAVING SUM(change) <> 0;
    ELSE
        PERFORM gather_count('orders', state, -COUNT(*)) FROM removed WHERE deleted_at IS NULL GROUP BY state;
    END CASE;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER orders_count_added AFTER INSERT ON orders REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_orders();
CREATE TRIGGER orders_count_changed AFTER UPDATE ON orders REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_orders();
CREATE TRIGGER orders_count_removed AFTER DELETE ON orders REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_orders();
CREATE CONSTRAINT TRIGGER orders_count_write AFTER INSERT OR DELETE ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION write_counts();
CREATE CONSTRAINT TRIGGER orders_count_write_changed AFTER UPDATE OF state, search_key, deleted_at ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.search_key <> NEW.search_key OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION write_counts();

-- Each order in which a list can be asked for has an index, so that a page of it is read and not sorted out of a million rows.
CREATE INDEX products_name ON products (name_key, id) WHERE deleted_at IS NULL;
CREATE INDEX products_quantity ON products (quantity, id) WHERE deleted_at IS NULL;
CREATE INDEX products_updated_at ON products (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_category_deleted ON products (category_id, id) WHERE deleted_at IS NOT NULL; -- whose orders are still listed
CREATE INDEX orders_client ON orders (client_key, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_quantity ON orders (quantity, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_updated_at ON orders (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_state_id ON orders (state, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_product_id ON orders (product_id, created_at, id) WHERE deleted_at IS NULL;

-- What is searched for any part of it, cut into pieces of three characters. It stands apart from its rows: every new version of a row is entered
-- into all indexes of its table, and this one costs more than all others together (a change of stock: 75 us of CPU without it, 185 with it).
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE product_texts (
    product_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL, -- the order in which most lists are asked for
    text       text COLLATE "C" NOT NULL,
    deleted    boolean NOT NULL -- orders are still found by its name
);
CREATE TABLE order_texts (
    order_id   uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    text       text COLLATE "C" NOT NULL
);
INSERT INTO product_texts (product_id, created_at, text, deleted) SELECT id, created_at, search_key, deleted_at IS NOT NULL FROM products ORDER BY created_at, id;
INSERT INTO order_texts (order_id, created_at, text) SELECT id, created_at, search_key FROM orders WHERE deleted_at IS NULL ORDER BY created_at, id;

-- How often a text was changed or taken away, or a product put into another category: as long as that is the same, and there are as many products or
-- orders, a search, in a category or in all, finds what it found before.
CREATE TABLE text_changes (
    texts text PRIMARY KEY,
    n     bigint NOT NULL
);

CREATE INDEX product_texts_text ON product_texts USING gin (text gin_trgm_ops);
CREATE INDEX order_texts_text ON order_texts USING gin (text gin_trgm_ops);

-- +goose StatementBegin
CREATE FUNCTION keep_product_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO product_texts (product_id, created_at, text, deleted) SELECT id, created_at, search_key, deleted_at IS NOT NULL FROM added;
        RETURN NULL;
    END IF;
    PERFORM gather_count('texts', 'products', 1);
    IF TG_OP = 'UPDATE' THEN
        UPDATE product_texts SET text = NEW.search_key, deleted = NEW.deleted_at IS NOT NULL WHERE product_id = NEW.id;
    ELSE
        DELETE FROM product_texts WHERE product_id = OLD.id;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER products_text_added AFTER INSERT ON products REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_product_text();
CREATE TRIGGER products_text_changed AFTER UPDATE OF search_key, deleted_at ON products FOR EACH ROW
    WHEN (OLD.search_key <> NEW.search_key OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION keep_product_text();
CREATE TRIGGER products_text_removed AFTER DELETE ON products FOR EACH ROW EXECUTE FUNCTION keep_product_text();

-- +goose StatementBegin
CREATE FUNCTION keep_order_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO order_texts (order_id, created_at, text) SELECT id, created_at, search_key FROM added WHERE deleted_at IS NULL;
        RETURN NULL;
    END IF;
    PERFORM gather_count('texts', 'orders', 1);
    IF TG_OP = 'DELETE' OR NEW.deleted_at IS NOT NULL THEN
        DELETE FROM order_texts WHERE order_id = OLD.id;
    ELSE
        INSERT INTO order_texts (order_id, created_at, text) VALUES (NEW.id, NEW.created_at, NEW.search_key) ON CONFLICT (order_id) DO UPDATE SET text = excluded.text;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER orders_text_added AFTER INSERT ON orders REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_order_text();
CREATE TRIGGER orders_text_changed AFTER UPDATE OF search_key, deleted_at ON orders FOR EACH ROW
    WHEN (OLD.search_key <> NEW.search_key OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION keep_order_text();
CREATE TRIGGER orders_text_removed AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep_order_text();

-- +goose Down

-- The extension stays, since others may use it.
DROP TRIGGER orders_text_removed ON orders;
DROP TRIGGER orders_text_changed ON orders;
DROP TRIGGER orders_text_added ON orders;
DROP TRIGGER products_text_removed ON products;
DROP TRIGGER products_text_changed ON products;
DROP TRIGGER products_text_added ON products;
DROP FUNCTION keep_order_text();
DROP FUNCTION keep_product_text();
DROP TABLE text_changes;
DROP TABLE order_texts;
DROP TABLE product_texts;
DROP INDEX orders_product_id;
DROP INDEX orders_state_id;
DROP INDEX orders_updated_at;
DROP INDEX orders_quantity;
DROP INDEX orders_client;
DROP INDEX products_category_deleted;
DROP INDEX products_updated_at;
DROP INDEX products_quantity;
DROP INDEX products_name;
DROP TRIGGER orders_count_write_changed ON orders;
DROP TRIGGER orders_count_write ON orders;
DROP TRIGGER orders_count_removed ON orders;
DROP TRIGGER orders_count_changed ON orders;
DROP TRIGGER orders_count_added ON orders;
DROP TRIGGER products_count_write_changed ON products;
DROP TRIGGER products_count_write ON products;
DROP TRIGGER products_count_removed ON products;
DROP TRIGGER products_count_changed ON products;
DROP TRIGGER products_count_added ON products;
DROP FUNCTION count_orders();
DROP FUNCTION count_products();
DROP FUNCTION write_counts();
DROP FUNCTION gather_count(text, text, bigint);
DROP TABLE order_counts;
DROP TABLE product_counts;
