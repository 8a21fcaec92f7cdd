module "inventory" {
  source = "./modules/inventory"

  nodes            = { for name, node in module.plan.nodes : name => { role = node.role, address = node.address } }
  public_addresses = { for name, node in google_compute_instance.node : name => node.network_interface[0].access_config[0].nat_ip }
  user             = var.iam_user_name
  private_key_file = abspath("${local.static_folder}/${var.ssh_private_key_file}")
  known_hosts_file = abspath("${local.static_folder}/known_hosts")
}

output "inventory" {
  description = "For Ansible, as YAML."
  value       = module.inventory.inventory
}

output "addresses" {
  description = "Name, public address and role of each node, a line each."
  value       = module.inventory.addresses
}

output "api_address" {
  description = "Where kubectl reaches the API server."
  value       = module.inventory.api_address
}

output "kubeconfig" {
  description = "Where Ansible puts it."
  value       = abspath("${local.static_folder}/kubeconfig")
}

output "cost" {
  description = "Estimate of the month."
  value       = module.plan.cost
}
