"""Pictures, several columns and vectors of your own for lightrec's items."""
