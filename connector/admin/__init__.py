"""What people do: the admin's pages, one file for each models file. `pages` registers them, `site` is the site."""
