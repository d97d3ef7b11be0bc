-- Fills a database of the newest schema, in which there are users and nothing else, with bench.products products and bench.orders
-- orders, of which nine in ten are spread over all products and one in ten wants the hot product, the seventh. The same numbers
-- give the same catalogue.
--
-- All that is always true is true of it: each quantity is the sum of its ledger, each order has the steps that brought it where it
-- stands, and each approved one its line in the ledger. All texts are ASCII, which lower() folds as the server does.

BEGIN;
SET LOCAL work_mem = '256MB';
SET LOCAL maintenance_work_mem = '512MB';
SET LOCAL jit = off;

-- An index is made faster at once than row by row, above all those for searches.
CREATE TEMP TABLE late_indexes ON COMMIT DROP AS
    SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisunique;
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT late_indexes.name FROM late_indexes LOOP EXECUTE 'DROP INDEX ' || name; END LOOP;
END
$$;

-- Thirty-two bytes that depend on what and which, and nothing else.
CREATE FUNCTION pg_temp.dice(what text, which bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT sha256((what || which)::bytea) $$;

-- A UUID of version 7 for the time (RFC 9562, section 5.7), its random part from the dice.
CREATE FUNCTION pg_temp.id7(at timestamptz, dice bytea) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(encode(dice, 'hex'), 1, 3)
        || '8' || substr(encode(dice, 'hex'), 4, 15))::uuid
$$;

CREATE FUNCTION pg_temp.pick(names text[], die integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT names[1 + die % cardinality(names)] $$;

-- A year's work, in even steps of whole milliseconds.
CREATE FUNCTION pg_temp.at(n bigint, of bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT timestamptz '2025-01-01 00:00:00+00' + (n * 31536000000 / of) * interval '1 millisecond'
$$;

INSERT INTO categories (id, name, name_key, created_at)
SELECT pg_temp.id7('2024-12-31 00:00:00+00', pg_temp.dice('category', n)), name, lower(name), '2024-12-31 00:00:00+00'
FROM (
    SELECT a.n * 5 + g.n AS n, a.name || ' ' || g.name AS name
    FROM unnest('{Workshop,Kitchen,Garden,Office,Garage,Nursery,School,Harbour,Studio,Farm}'::text[]) WITH ORDINALITY a (name, n),
        unnest('{Fasteners,Tools,Lighting,Storage,Cleaning}'::text[]) WITH ORDINALITY g (name, n)
) named;

CREATE TEMP TABLE numbered_categories ON COMMIT DROP AS SELECT id, row_number() OVER (ORDER BY name_key) - 1 AS n FROM categories;
CREATE TEMP TABLE clerk ON COMMIT DROP AS SELECT id FROM users ORDER BY created_at, id LIMIT 1;

-- The n-th product, with what its approved order, if it has one, takes of it.
CREATE TEMP TABLE made_products ON COMMIT DROP AS
SELECT rolled.n, pg_temp.id7(at, d) AS id, c.id AS category_id, at,
    pg_temp.pick('{Steel,Brass,Copper,Titanium,Nylon,Oak,Walnut,Granite,Carbon,Zinc}', get_byte(d, 20)) || ' '
        || pg_temp.pick('{Polished,Brushed,Painted,Coated,Raw,Tempered,Waxed,Anodised}', get_byte(d, 21)) || ' '
        || pg_temp.pick('{Bolt,Washer,Bracket,Hinge,Lantern,Shelf,Crate,Hammer,Wrench,Ladder,Bucket,Clamp,Spring,Valve,Pulley,Chisel,Funnel,Hook,Lever,
            Gasket,Basket,Trolley,Handle,Bearing,Cabinet}', get_byte(d, 22))
        || ' ' || 10 + get_byte(d, 23) % 90 || 'x' || 100 + get_byte(d, 24) || ' mm KX-' || lpad(rolled.n::text, 7, '0') AS name,
    'Suits ' || pg_temp.pick('{indoor,outdoor,marine,heavy,light,public}', get_byte(d, 25)) || ' use and all weathers, comes in boxes of '
        || 10 + get_byte(d, 26) || ', made by ' || pg_temp.pick('{Aldermoor,Birkhall,Castlegate,Dunmere,Eastwick,Fairholm,Greystone}', get_byte(d, 27))
        || ' and Sons of ' || pg_temp.pick('{Leeds,Bremen,Ghent,Turin,Malmo,Porto,Gdansk}', get_byte(d, 28)) || ', lot ' || lpad(rolled.n::text, 7, '0') AS description,
    CASE WHEN rolled.n % 2 = 0 THEN 'SKU-' || lpad(rolled.n::text, 7, '0') END AS sku,
    CASE WHEN rolled.n % 10 = 0 THEN 5 END::bigint AS reorder_level,
    CASE WHEN rolled.n = 7 THEN 900000000 ELSE 1000 + get_byte(d, 29) END::bigint AS delivered,
    1 + get_byte(d, 30) % 5 AS wanted,
    (get_byte(d, 31) % 10) AS fate
FROM (
    SELECT n, pg_temp.at(n, current_setting('bench.products')::bigint) AS at, pg_temp.dice('product', n) AS d
    FROM generate_series(1, current_setting('bench.products')::bigint) n OFFSET 0 -- each die is cast once
) rolled JOIN numbered_categories c ON c.n = get_byte(d, 19) * 50 / 256;

ANALYZE made_products;

-- The k-th order. The first order of a product may stand anywhere; the others wait for approval, one in five of them for the hot product.
CREATE TEMP TABLE made_orders ON COMMIT DROP AS
SELECT k, pg_temp.id7(o.at, d) AS id, p.id AS product_id, o.at, CASE WHEN first THEN wanted ELSE 1 END AS quantity,
    CASE WHEN NOT first OR fate = 9 THEN 'Pending' WHEN fate = 0 THEN 'Draft' WHEN fate <= 2 THEN 'Ready' WHEN fate <= 7 THEN 'Completed' ELSE 'Cancelled' END AS state,
    pg_temp.pick('{Miller,Novak,Dubois,Rossi,Jansen,Keller,Larsen,Silva,Horvat,Murphy,Fischer,Kowalski}', get_byte(d, 20)) || ' and '
        || pg_temp.pick('{Partners,Daughters,Sons,Builders,Traders,Outfitters,Brothers}', get_byte(d, 21)) || ' ' || 100 + get_byte(d, 22) AS client,
    'Contract C-' || lpad(k::text, 8, '0') || ', to be delivered to gate ' || 1 + get_byte(d, 23) % 40 || ' in the '
        || pg_temp.pick('{morning,afternoon,evening}', get_byte(d, 24)) AS description
FROM (
    SELECT k, pg_temp.dice('order', k) AS d, pg_temp.at(k, current_setting('bench.orders')::bigint) + interval '1 day' AS at,
        k % 2 = 1 AND k < 2 * products AS first, CASE WHEN k % 10 = 2 THEN 7 ELSE 1 + (k - 1) / 2 % products END AS product
    FROM generate_series(1, current_setting('bench.orders')::bigint) k, (SELECT current_setting('bench.products')::bigint AS products) c OFFSET 0
) o JOIN made_products p ON p.n = o.product;

-- What the approvals have taken, by product: its first order alone can have been approved.
CREATE TEMP TABLE taken ON COMMIT DROP AS SELECT id AS order_id, product_id, quantity, at FROM made_orders WHERE state IN ('Ready', 'Completed');
ANALYZE made_orders, taken;

INSERT INTO products (id, name, name_key, category_id, quantity, description, search_key, sku, sku_key, reorder_level, version, created_at, updated_at)
SELECT p.id, name, lower(name), category_id, delivered - COALESCE(t.quantity, 0), description,
    lower(name) || E'\n' || lower(description) || COALESCE(E'\n' || lower(sku), ''), sku, lower(sku), reorder_level,
    CASE WHEN t.product_id IS NULL THEN 2 ELSE 3 END, p.at, COALESCE(t.at, p.at)
FROM made_products p LEFT JOIN taken t ON t.product_id = p.id ORDER BY p.n;

INSERT INTO orders (id, product_id, client, client_key, description, search_key, quantity, state, version, created_by, created_at, updated_at)
SELECT o.id, product_id, client, lower(client), description, lower(client) || E'\n' || lower(description), quantity, state,
    CASE state WHEN 'Draft' THEN 1 WHEN 'Pending' THEN 1 WHEN 'Completed' THEN 3 ELSE 2 END, clerk.id, at, at
FROM made_orders o, clerk ORDER BY k;

INSERT INTO order_steps (id, order_id, order_version, from_state, to_state, user_id, created_at)
SELECT pg_temp.id7(at, pg_temp.dice('step' || s.version, k)), o.id, s.version, s.from_state, s.to_state, clerk.id, at
FROM made_orders o JOIN (VALUES
    ('Draft', 1, NULL, 'Draft'), ('Pending', 1, NULL, 'Pending'),
    ('Ready', 1, NULL, 'Pending'), ('Ready', 2, 'Pending', 'Ready'),
    ('Completed', 1, NULL, 'Pending'), ('Completed', 2, 'Pending', 'Ready'), ('Completed', 3, 'Ready', 'Completed'),
    ('Cancelled', 1, NULL, 'Pending'), ('Cancelled', 2, 'Pending', 'Cancelled')
) s (state, version, from_state, to_state) ON s.state = o.state, clerk ORDER BY k, s.version;

INSERT INTO movements (id, product_id, product_version, delta, quantity_after, reason, order_id, user_id, note, created_at)
SELECT pg_temp.id7(p.at, pg_temp.dice('created', n)), p.id, 2, delivered, delivered, 'Created', NULL, clerk.id, '', p.at
FROM made_products p, clerk ORDER BY n;

INSERT INTO movements (id, product_id, product_version, delta, quantity_after, reason, order_id, user_id, note, created_at)
SELECT pg_temp.id7(t.at, pg_temp.dice('reserved', n)), p.id, 3, -quantity, delivered - quantity, 'Reserved', t.order_id, clerk.id, '', t.at
FROM taken t JOIN made_products p ON p.id = t.product_id, clerk ORDER BY n;

-- What triggers have put off to the end comes first: a table that something is still to be done for takes no index.
SET CONSTRAINTS ALL IMMEDIATE;

DO $$
DECLARE definition text;
BEGIN
    FOR definition IN SELECT late_indexes.definition FROM late_indexes LOOP EXECUTE definition; END LOOP;
END
$$;

COMMIT;
