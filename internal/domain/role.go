package domain

import "github.com/google/uuid"

// Role decides what a user may do. The order is strict: Admin > Manager > User > ReadonlyUser.
type Role string

// The four roles.
const (
	RoleAdmin        Role = "Admin"
	RoleManager      Role = "Manager"
	RoleUser         Role = "User"
	RoleReadonlyUser Role = "ReadonlyUser"
)

// Roles lists all roles, the highest first.
var Roles = []Role{RoleAdmin, RoleManager, RoleUser, RoleReadonlyUser}

// ParseRole takes a role's exact name. It returns a KindInvalid on `role` for any other text.
func ParseRole(s string) (Role, error) {
	for _, r := range Roles {
		if string(r) == s {
			return r, nil
		}
	}
	return "", Invalid("role", "The role '%s' is not valid", Clip(s))
}

// rank is higher for a higher role and 0 for a text that is no role, so that an unknown role may do nothing.
func (r Role) rank() int {
	for i, known := range Roles {
		if r == known {
			return len(Roles) - i
		}
	}
	return 0
}

// AtLeast says whether r is the other role or above it.
func (r Role) AtLeast(other Role) bool { return r.rank() > 0 && r.rank() >= other.rank() }

// Above says whether r stands strictly above the other role.
func (r Role) Above(other Role) bool { return r.rank() > other.rank() }

// UpTo lists r and the roles below it: whom a user of role r may see.
func (r Role) UpTo() []Role {
	var roles []Role
	for _, other := range Roles {
		if r.AtLeast(other) {
			roles = append(roles, other)
		}
	}
	return roles
}

// Permission is something that a role is needed for. The constants are the rows of the role table.
type Permission string

// The permissions.
const (
	InviteUsers      Permission = "invite users"
	ReadUsers        Permission = "read users"
	ManageUsers      Permission = "change users"
	ReadCatalogue    Permission = "read products and categories"
	ManageCategories Permission = "create or delete categories"
	WriteProducts    Permission = "create or change products"
	DeleteProducts   Permission = "delete products"
	ImportProducts   Permission = "import products"
	ListOrders       Permission = "list transactions"
	ReadOrders       Permission = "read transactions"
	PlaceOrders      Permission = "create transactions"
	MoveOrders       Permission = "change the state of transactions"
	EditOrders       Permission = "change transactions"
	DeleteOrders     Permission = "delete transactions"
	SeeOneself       Permission = "read the own user"
	OwnAccount       Permission = "use the own account"
	ReadAudit        Permission = "read the audit log"
)

// rule says who has a permission.
type rule struct {
	lowest Role
	key    KeyScope // the scope that an API key needs; none: no key has it, since it would let a stolen key make itself at home
	early  bool     // had before the second factor that the role requires is set up
}

// rules is the role table. What is not listed nobody may.
// Some permissions are cut further: users by rank ([Actor.MaySee], [Actor.MayManage]), steps of an order by [Order.MoveTo].
var rules = map[Permission]rule{
	InviteUsers:      {lowest: RoleManager},
	ReadUsers:        {lowest: RoleReadonlyUser, key: ScopeRead},
	ManageUsers:      {lowest: RoleUser},
	ReadCatalogue:    {lowest: RoleReadonlyUser, key: ScopeRead},
	ManageCategories: {lowest: RoleManager, key: ScopeWrite},
	WriteProducts:    {lowest: RoleUser, key: ScopeWrite},
	DeleteProducts:   {lowest: RoleManager, key: ScopeWrite},
	ImportProducts:   {lowest: RoleManager, key: ScopeWrite},
	ListOrders:       {lowest: RoleReadonlyUser, key: ScopeRead},
	ReadOrders:       {lowest: RoleUser, key: ScopeRead},
	PlaceOrders:      {lowest: RoleUser, key: ScopeWrite},
	MoveOrders:       {lowest: RoleUser, key: ScopeWrite},
	EditOrders:       {lowest: RoleManager, key: ScopeWrite},
	DeleteOrders:     {lowest: RoleAdmin, key: ScopeWrite},
	SeeOneself:       {lowest: RoleReadonlyUser, key: ScopeRead, early: true},
	OwnAccount:       {lowest: RoleReadonlyUser, early: true},
	ReadAudit:        {lowest: RoleAdmin, key: ScopeRead},
}

// LowestRole gives the lowest role that has the permission.
func LowestRole(p Permission) (Role, bool) {
	r, ok := rules[p]
	return r.lowest, ok
}

// Actor is who asks, with the role that the database holds at this moment, not one that a token bears.
type Actor struct {
	ID        uuid.UUID
	Role      Role
	SessionID uuid.UUID // of the login; none for an API key
	KeyID     uuid.UUID // of the API key that calls; none for a login
	Scope     KeyScope  // of that key
	HasFactor bool      // a second factor is set up
	Barred    bool      // the role requires a second factor, and there is none: only what is needed to set one up is open
	Address   string    // where the call came from
}

// May says whether the actor has the permission.
func (a Actor) May(p Permission) bool { return a.Require(p) == nil }

// Stranger is somebody who has not shown who they are.
func Stranger(address string) Actor { return Actor{Address: address} }

// Require returns a KindForbidden unless the actor's role has the permission, and so has the API key, if one calls.
func (a Actor) Require(p Permission) error {
	r, known := rules[p]
	switch {
	case !known || !a.Role.AtLeast(r.lowest):
		return Forbidden("authorization", "The role '%s' may not %s", a.Role, p)
	case a.KeyID != uuid.Nil && r.key == "":
		return Forbidden("authorization", "An API key may not %s", p)
	case a.KeyID != uuid.Nil && r.key == ScopeWrite && a.Scope != ScopeWrite:
		return Forbidden("authorization", "An API key with the scope '%s' may not %s", a.Scope, p)
	case a.Barred && !r.early:
		return Forbidden("authorization", "The role '%s' requires a second factor; set one up first", a.Role)
	}
	return nil
}

// MaySee returns a KindForbidden if the user stands above the actor.
func (a Actor) MaySee(u User) error {
	if a.Role.AtLeast(u.Role) {
		return nil
	}
	return Forbidden("authorization", "The role '%s' may not read a user with the role '%s'", a.Role, u.Role)
}

// MayManage returns a KindForbidden unless the actor stands strictly above the user.
func (a Actor) MayManage(u User) error {
	if a.Role.Above(u.Role) {
		return nil
	}
	return Forbidden("authorization", "The role '%s' may not change a user with the role '%s'", a.Role, u.Role)
}

// MayGrant returns a KindForbidden on `role` if the role is above the actor's own.
func (a Actor) MayGrant(role Role) error {
	if a.Role.AtLeast(role) {
		return nil
	}
	return Forbidden("role", "The role '%s' may not grant the role '%s'", a.Role, role)
}
