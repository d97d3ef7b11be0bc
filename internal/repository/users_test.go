package repository_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

func TestUsers_findsWhatWasStored(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		draft, active := domain.NewDraft("Jane@Example.com", "Jäne", "Doe", domain.RoleUser, now), newUser("Tolya", domain.RoleAdmin)
		for _, u := range []domain.User{draft, active} {
			b.ok(b.Users.Create(b.ctx, u))
			byID, err := b.Users.ByID(b.ctx, u.ID)
			b.ok(err)
			require.Equal(t, u, byID)
			byEmail, err := b.Users.ByEmail(b.ctx, "X"+u.Email)
			b.refuses(err, domain.KindNotFound, "email")
			require.Zero(t, byEmail)
		}
		byEmail, err := b.Users.ByEmail(b.ctx, "JANE@EXAMPLE.COM")
		b.ok(err)
		require.Equal(t, draft, byEmail)
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			locked, err := tx.Users.Lock(b.ctx, active.ID)
			b.ok(err)
			require.Equal(t, active, locked)
			locked, err = tx.Users.LockByEmail(b.ctx, "tolya@EXAMPLE.com")
			b.ok(err)
			require.Equal(t, active, locked)
			return nil
		}))
		for name, want := range map[string]bool{"Tolya": true, "TOLYA": true, "tolya": true, "toly": false, "": false, "Jane": false} {
			taken, err := b.Users.UsernameTaken(b.ctx, name)
			b.ok(err)
			require.Equal(t, want, taken, name)
		}
	})
}

func TestUsers_unknown(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		u := newUser("nobody", domain.RoleUser)
		_, err := b.Users.ByID(b.ctx, u.ID)
		b.refuses(err, domain.KindNotFound, "id")
		_, err = b.Users.Lock(b.ctx, u.ID)
		b.refuses(err, domain.KindNotFound, "id")
		_, err = b.Users.LockByEmail(b.ctx, u.Email)
		b.refuses(err, domain.KindNotFound, "email")
		b.refuses(b.Users.SaveDescription(b.ctx, u), domain.KindNotFound, "id")
		b.refuses(b.Users.SaveActivation(b.ctx, u), domain.KindNotFound, "id")
		b.refuses(b.Users.SavePassword(b.ctx, u.ID, "$argon2id$", now), domain.KindNotFound, "id")
		b.refuses(b.Users.Delete(b.ctx, u.ID, now), domain.KindNotFound, "id")
	})
}

func TestUsers_duplicates(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		b.user("jane", domain.RoleUser)
		john := b.user("john", domain.RoleUser)
		b.refuses(b.Users.Create(b.ctx, domain.NewDraft("JANE@example.com", "J", "D", domain.RoleUser, now)), domain.KindConflict, "email")

		john.Describe("Jane@Example.com", "J", "D", domain.RoleUser, now)
		b.refuses(b.Users.SaveDescription(b.ctx, john), domain.KindConflict, "email")

		draft := domain.NewDraft("new@example.com", "N", "D", domain.RoleUser, now)
		b.ok(b.Users.Create(b.ctx, draft))
		draft.Activate("JANE", "$argon2id$", now)
		b.refuses(b.Users.SaveActivation(b.ctx, draft), domain.KindConflict, "username")
	})
}

func TestUsers_changes(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		later := now.Add(time.Hour)
		draft, bystander := domain.NewDraft("jane@example.com", "Jane", "Doe", domain.RoleUser, now), b.user("john", domain.RoleManager)
		b.ok(b.Users.Create(b.ctx, draft))

		draft.Describe("jane.roe@example.com", "Jane", "Roe", domain.RoleManager, later)
		b.ok(b.Users.SaveDescription(b.ctx, draft))
		b.is(draft)

		draft.Activate("Jane", "$argon2id$1", later)
		b.ok(b.Users.SaveActivation(b.ctx, draft))
		b.is(draft)
		draft.Activate("Other", "$argon2id$2", later)
		b.refuses(b.Users.SaveActivation(b.ctx, draft), domain.KindNotFound, "id") // not a draft any more

		draft.Activate("Jane", "$argon2id$3", later)
		b.ok(b.Users.SavePassword(b.ctx, draft.ID, "$argon2id$3", later))
		b.is(draft)
		b.is(bystander)
	})
}

// is checks that a user is stored as it stands.
func (b *base) is(u domain.User) {
	b.t.Helper()
	stored, err := b.Users.ByID(b.ctx, u.ID)
	b.ok(err)
	require.Equal(b.t, u, stored)
}

func TestUsers_deletedAreFoundByNobodyAndFreeTheirNames(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleAdmin)
		has, err := b.Users.HasActiveAdmin(b.ctx)
		b.ok(err)
		require.True(t, has)
		b.ok(b.Users.Delete(b.ctx, u.ID, now))

		has, err = b.Users.HasActiveAdmin(b.ctx)
		b.ok(err)
		require.False(t, has)
		_, err = b.Users.ByID(b.ctx, u.ID)
		b.refuses(err, domain.KindNotFound, "id")
		_, err = b.Users.ByEmail(b.ctx, u.Email)
		b.refuses(err, domain.KindNotFound, "email")
		_, err = b.Users.Lock(b.ctx, u.ID)
		b.refuses(err, domain.KindNotFound, "id")
		_, err = b.Users.LockByEmail(b.ctx, u.Email)
		b.refuses(err, domain.KindNotFound, "email")
		b.refuses(b.Users.SaveDescription(b.ctx, u), domain.KindNotFound, "id")
		b.refuses(b.Users.SavePassword(b.ctx, u.ID, "$argon2id$", now), domain.KindNotFound, "id")
		b.refuses(b.Users.Delete(b.ctx, u.ID, now), domain.KindNotFound, "id")
		taken, err := b.Users.UsernameTaken(b.ctx, "jane")
		b.ok(err)
		require.False(t, taken)
		b.user("jane", domain.RoleAdmin)
		require.Equal(t, 2, b.count("users"), "the row is kept")
	})
}

func TestUsers_HasActiveAdmin_countsNeitherDraftsNorOthers(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		b.user("manager", domain.RoleManager)
		b.ok(b.Users.Create(b.ctx, domain.NewDraft("admin@example.com", "A", "A", domain.RoleAdmin, now)))
		has, err := b.Users.HasActiveAdmin(b.ctx)
		b.ok(err)
		require.False(t, has)
	})
}

func TestUsers_List(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		named := func(email, first, last string, role domain.Role, username string) domain.User {
			u := domain.NewDraft(email, first, last, role, now)
			if username != "" {
				u.Activate(username, "$argon2id$", now)
			}
			b.ok(b.Users.Create(b.ctx, u))
			return u
		}
		ada := named("ada@example.com", "Ada", "Lovelace", domain.RoleAdmin, "countess")
		bob := named("bob@example.org", "Bob", "Ärger", domain.RoleUser, "bob_1")
		cid := named("cid%40@example.com", "Cid", "50% off", domain.RoleUser, "")
		dee := named("dee@example.com", `Back\slash`, "Under_score", domain.RoleReadonlyUser, "dee")
		gone := named("gone@example.com", "Gone", "Lovelace", domain.RoleUser, "gone")
		b.ok(b.Users.Delete(b.ctx, gone.ID, now))

		all := domain.Roles
		for name, c := range map[string]struct {
			filter domain.UserFilter
			roles  []domain.Role
			want   []domain.User
		}{
			"all":                          {domain.UserFilter{}, all, []domain.User{ada, bob, cid, dee}},
			"roles that may be seen":       {domain.UserFilter{}, domain.RoleUser.UpTo(), []domain.User{bob, cid, dee}},
			"a role":                       {domain.UserFilter{Role: domain.RoleUser}, all, []domain.User{bob, cid}},
			"a role that may not be seen":  {domain.UserFilter{Role: domain.RoleAdmin}, domain.RoleUser.UpTo(), nil},
			"drafts":                       {domain.UserFilter{Status: domain.UserDraft}, all, []domain.User{cid}},
			"active ones":                  {domain.UserFilter{Status: domain.UserActive}, all, []domain.User{ada, bob, dee}},
			"search in the username":       {domain.UserFilter{Search: "COUNT"}, all, []domain.User{ada}},
			"search in the first name":     {domain.UserFilter{Search: "dA"}, all, []domain.User{ada}},
			"search across both names":     {domain.UserFilter{Search: "ada love"}, all, []domain.User{ada}},
			"search beyond ASCII":          {domain.UserFilter{Search: "äRGER"}, all, []domain.User{bob}},
			"search in the email":          {domain.UserFilter{Search: "example.ORG"}, all, []domain.User{bob}},
			"search for a percent sign":    {domain.UserFilter{Search: "%"}, all, []domain.User{cid}},
			"search for an underscore":     {domain.UserFilter{Search: "_"}, all, []domain.User{bob, dee}},
			"search for a backslash":       {domain.UserFilter{Search: `\`}, all, []domain.User{dee}},
			"search for a quotation mark":  {domain.UserFilter{Search: `' OR 1=1--`}, all, nil},
			"search within a role":         {domain.UserFilter{Search: "example", Role: domain.RoleUser}, all, []domain.User{bob, cid}},
			"search keeps to what is seen": {domain.UserFilter{Search: "example"}, domain.RoleReadonlyUser.UpTo(), []domain.User{dee}},
			"search within drafts":         {domain.UserFilter{Search: "c", Status: domain.UserDraft}, all, []domain.User{cid}},
		} {
			t.Run(name, func(t *testing.T) {
				c.filter.Page = first("createdAt")
				users, total, err := b.Users.List(b.ctx, c.filter, c.roles)
				require.NoError(t, err)
				require.EqualValues(t, len(c.want), total.Total)
				require.NotNil(t, users)
				require.ElementsMatch(t, c.want, users)
			})
		}
	})
}

func TestUsers_sorts(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		one, two, three := newUser("a_bob", domain.RoleUser), domain.NewDraft("x@example.com", "ärger", "a", domain.RoleAdmin, now.Add(time.Second)), newUser("a.Bob", domain.RoleManager)
		one.FirstName, one.FirstNameKey, one.LastName, one.LastNameKey = "Zoe", "zoe", "Ähre", "ähre"
		three.FirstName, three.FirstNameKey, three.LastName, three.LastNameKey = "zoe", "zoe", "B", "b"
		three.CreatedAt = now.Add(2 * time.Second)
		for _, u := range []domain.User{one, two, three} {
			b.ok(b.Users.Create(b.ctx, u))
		}
		sorts(b, map[string][]domain.User{
			"createdAt": {one, two, three},
			"username":  {two, three, one}, // a draft has none; '.' before '_'
			"firstName": {one, three, two}, // byte by byte: 'ä' after 'z'; equal ones by id
			"lastName":  {two, three, one},
			"role":      {two, three, one},
		}, func(p domain.Page) ([]domain.User, domain.Extent, error) {
			return b.Users.List(b.ctx, domain.UserFilter{Page: p}, domain.Roles)
		})
	})
}

// sorts checks each order of a list, forwards and backwards, in one page and in pages of one; a page past the end; and an unknown order.
func sorts[T any](b *base, orders map[string][]T, list func(domain.Page) ([]T, domain.Extent, error)) {
	b.t.Helper()
	for field, want := range orders {
		n := len(want)
		for _, desc := range []bool{false, true} {
			if desc {
				backwards := make([]T, n)
				for i, x := range want {
					backwards[n-1-i] = x
				}
				want = backwards
			}
			sort := domain.Sort{Field: field, Desc: desc}
			all, extent, err := list(domain.Page{Number: 1, Size: 100, Sort: sort})
			b.ok(err)
			require.Equal(b.t, domain.Extent{Total: int64(n)}, extent, field)
			require.Equal(b.t, want, all, "%s, descending: %v", field, desc)
			for i := range want {
				one, extent, err := list(domain.Page{Number: i + 1, Size: 1, Sort: sort})
				b.ok(err)
				require.EqualValues(b.t, n, extent.Total)
				require.Equal(b.t, i < n-1, extent.Next != nil)
				require.Equal(b.t, want[i:i+1], one, "%s, page %d", field, i+1)
			}
			for _, past := range []int{n + 1, 1 << 40, 1<<63 - 1} {
				none, extent, err := list(domain.Page{Number: past, Size: 1, Sort: sort})
				b.ok(err)
				require.Equal(b.t, domain.Extent{Total: int64(n)}, extent)
				require.Equal(b.t, []T{}, none)
			}
			for _, size := range []int{1, 2, n} {
				walked := walk(b, domain.Page{Number: 1, Size: size, Sort: sort}, int64(n), list)
				require.Equal(b.t, want, walked, "%s by cursors, %d at a time", field, size)
			}
		}
	}
	for _, field := range []string{"", "id", "created_at", "createdat", "(SELECT 1)", "createdAt; DROP TABLE users"} {
		_, _, err := list(first(field))
		require.Error(b.t, err, field)
	}
}

// walk goes through a list from cursor to cursor, each of which travels as its text, and checks what each page says of the whole.
func walk[T any](b *base, page domain.Page, total int64, list func(domain.Page) ([]T, domain.Extent, error)) []T {
	b.t.Helper()
	all := []T{}
	for {
		some, extent, err := list(page)
		b.ok(err)
		require.Equal(b.t, total, extent.Total)
		all = append(all, some...)
		if extent.Next == nil {
			return all
		}
		require.Len(b.t, some, page.Size)
		require.Equal(b.t, page.Number+1, extent.Next.Page)
		after, err := domain.ParseCursor(extent.Next.String(), page.Sort)
		b.ok(err)
		page.Number, page.After = after.Page, &after
		require.LessOrEqual(b.t, len(all), int(total), "the list goes on for ever")
	}
}

func TestUsers_locks(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		rename := func(name string) func(tx *repository.Store) error {
			return func(tx *repository.Store) error {
				locked, err := tx.Users.Lock(b.ctx, u.ID)
				if err != nil {
					return err
				}
				locked.Describe(locked.Email, locked.FirstName+name, "Doe", domain.RoleUser, now)
				return tx.Users.SaveDescription(b.ctx, locked)
			}
		}
		b.blocks(rename("+1"), rename("+2"))
		b.blocks(func(tx *repository.Store) error {
			_, err := tx.Users.LockByEmail(b.ctx, u.Email)
			return err
		}, rename("+3"))
		stored, err := b.Users.ByID(b.ctx, u.ID)
		b.ok(err)
		require.Equal(t, "JANE+1+2+3", stored.FirstName, "who waited saw what the one before left")
	})
}

func TestUsers_ofOneEmailOneIsCreated(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		created, refused := 0, 0
		for _, err := range together(10, func(int) error { return b.Users.Create(b.ctx, newUser("jane", domain.RoleUser)) }) {
			switch {
			case err == nil:
				created++
			case isKind(err, domain.KindConflict):
				refused++
			default:
				b.ok(err)
			}
		}
		require.Equal(t, []int{1, 9}, []int{created, refused})
	})
}
