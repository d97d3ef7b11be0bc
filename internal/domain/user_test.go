package domain_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

func TestUser(t *testing.T) {
	u := domain.NewDraft("Jane@Example.COM", "JÄNE", "İdil", domain.RoleUser, now)
	draft := domain.User{
		ID: u.ID, Email: "Jane@Example.COM", EmailKey: "jane@example.com", FirstName: "JÄNE", FirstNameKey: "jäne", LastName: "İdil", LastNameKey: domain.Fold("idil"),
		Role: domain.RoleUser, Status: domain.UserDraft, CreatedAt: now, UpdatedAt: now,
	}
	require.Equal(t, draft, u)
	require.Equal(t, "JÄNE İdil", u.FullName())
	require.Equal(t, []string{"Jane@Example.COM"}, u.OwnWords())

	later := now.Add(time.Hour)
	u.Activate("Jane_1", "$argon2id$", later)
	active := draft
	active.Username, active.UsernameKey, active.PasswordHash = new("Jane_1"), new("jane_1"), new("$argon2id$")
	active.Status, active.UpdatedAt = domain.UserActive, later
	require.Equal(t, active, u)
	require.Equal(t, []string{"Jane@Example.COM", "Jane_1"}, u.OwnWords())

	u.Describe("j@example.com", "J", "D", domain.RoleManager, later.Add(time.Hour))
	active.Email, active.EmailKey, active.FirstName, active.FirstNameKey, active.LastName, active.LastNameKey = "j@example.com", "j@example.com", "J", "j", "D", "d"
	active.Role, active.UpdatedAt = domain.RoleManager, later.Add(time.Hour)
	require.Equal(t, active, u)
}

func TestParseUserStatus(t *testing.T) {
	for _, status := range []domain.UserStatus{domain.UserDraft, domain.UserActive} {
		parsed, err := domain.ParseUserStatus(string(status))
		require.NoError(t, err)
		require.Equal(t, status, parsed)
	}
	for _, s := range []string{"", "active", "Deleted"} {
		_, err := domain.ParseUserStatus(s)
		require.Equal(t, refusal{domain.KindInvalid, "status"}, refused(t, err), s)
	}
}

func TestNewInvitation(t *testing.T) {
	expires, sent := now.Add(72*time.Hour), now.Add(time.Minute)
	token := domain.OneTimeToken{ID: domain.NewID(), Kind: domain.TokenInvitation, ExpiresAt: expires}
	require.Equal(t, domain.Invitation{State: domain.InvitationQueued, ExpiresAt: expires}, domain.NewInvitation(token, nil), "no worker took it up")
	for name, c := range map[string]struct {
		delivery domain.Delivery
		want     domain.Invitation
	}{
		"first try under way":     {domain.Delivery{State: domain.DeliverySending, Attempts: 1}, domain.Invitation{State: domain.InvitationQueued, Attempts: 1}},
		"first try accepted":      {domain.Delivery{State: domain.DeliveryAccepted, Attempts: 1}, domain.Invitation{State: domain.InvitationQueued, Attempts: 1}},
		"second try under way":    {domain.Delivery{State: domain.DeliverySending, Attempts: 2, LastError: "no"}, domain.Invitation{State: domain.InvitationRetrying, Attempts: 2, LastError: "no"}},
		"second try accepted":     {domain.Delivery{State: domain.DeliveryAccepted, Attempts: 2, LastError: "no"}, domain.Invitation{State: domain.InvitationRetrying, Attempts: 2, LastError: "no"}},
		"waits for its next try":  {domain.Delivery{State: domain.DeliveryRetrying, Attempts: 1, LastError: "no"}, domain.Invitation{State: domain.InvitationRetrying, Attempts: 1, LastError: "no"}},
		"sent":                    {domain.Delivery{State: domain.DeliverySent, Attempts: 1, SentAt: &sent}, domain.Invitation{State: domain.InvitationSent, Attempts: 1, SentAt: &sent}},
		"put aside":               {domain.Delivery{State: domain.DeliveryFailed, Attempts: 9, LastError: "no"}, domain.Invitation{State: domain.InvitationFailed, Attempts: 9, LastError: "no"}},
		"dropped before its time": {domain.Delivery{State: domain.DeliveryDropped}, domain.Invitation{State: domain.InvitationFailed}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.ExpiresAt = expires
			require.Equal(t, c.want, domain.NewInvitation(token, &c.delivery))
		})
	}
}

func TestNewEvent(t *testing.T) {
	user := domain.NewID()
	e, err := domain.NewEvent(domain.EventUserInvited, user, now, domain.UserInvited{
		Email: "jane@example.com", FirstName: "Jane", LastName: "Doe", Role: domain.RoleUser, InvitedBy: "Ada", Token: "secret", ExpiresAt: now,
	})
	require.NoError(t, err)
	require.Equal(t, domain.Event{ID: e.ID, Type: "user.invited", Subject: user, At: now, Data: json.RawMessage(
		`{"email":"jane@example.com","firstName":"Jane","lastName":"Doe","role":"User","invitedBy":"Ada","token":"secret","expiresAt":"2021-01-01T12:00:00Z"}`)}, e)
	_, err = domain.NewEvent(domain.EventUserInvited, user, now, func() {})
	require.Error(t, err)
}

func TestNewID(t *testing.T) {
	previous := domain.NewID()
	for range 1000 {
		id := domain.NewID()
		require.Equal(t, uuid.Version(7), id.Version())
		require.Greater(t, id.String(), previous.String(), "ids rise")
		previous = id
	}
}

func TestPages(t *testing.T) {
	for _, c := range []struct {
		total int64
		size  int
		pages int64
	}{{0, 10, 0}, {1, 10, 1}, {10, 10, 1}, {11, 10, 2}, {100, 1, 100}, {1 << 40, 100, 10995116278}} {
		require.Equal(t, c.pages, domain.Pages(c.total, c.size), "%d by %d", c.total, c.size)
	}
}

func TestProduct(t *testing.T) {
	phones := domain.NewCategory("PHONES", now)
	require.Equal(t, domain.Category{ID: phones.ID, Name: "PHONES", NameKey: "phones", CreatedAt: now}, phones)
	p := domain.NewProduct("iPhone 12", "The BLUE one", phones, new("a.png"), now)
	want := domain.Product{
		ID: p.ID, Name: "iPhone 12", NameKey: "iphone 12", CategoryID: phones.ID, CategoryName: "PHONES", Description: "The BLUE one",
		SearchKey: "iphone 12\nthe blue one", Image: new("a.png"), Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	require.Equal(t, want, p)
	toys, later := domain.NewCategory("Toys", now), now.Add(time.Hour)
	p.Describe("Doll", "", toys, later)
	want.Name, want.NameKey, want.Description, want.SearchKey, want.CategoryID, want.CategoryName, want.UpdatedAt = "Doll", "doll", "", "doll\n", toys.ID, "Toys", later
	require.Equal(t, want, p)
	p.Label(new("Ä-1"), new(int64(3)))
	want.SKU, want.SKUKey, want.ReorderLevel, want.SearchKey = new("Ä-1"), new("ä-1"), new(int64(3)), "doll\n\nä-1"
	require.Equal(t, want, p)
	p.Describe("Doll", "red", toys, later)
	want.Description, want.SearchKey = "red", "doll\nred\nä-1"
	require.Equal(t, want, p)
	p.Label(nil, nil)
	want.SKU, want.SKUKey, want.ReorderLevel, want.SearchKey = nil, nil, nil, "doll\nred"
	require.Equal(t, want, p)

	by := domain.NewID()
	m := domain.NewMovement(p.ID, -3, domain.MovementAdjusted, by, now)
	require.Equal(t, domain.Movement{ID: m.ID, ProductID: p.ID, Delta: -3, Reason: domain.MovementAdjusted, UserID: &by, CreatedAt: now}, m)
}
